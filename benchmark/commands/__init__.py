"""The commands of `petlir`, grouped by purpose. Modules that are slow to import are imported inside commands."""
