"""Reports: pages, tables and figures from records."""
