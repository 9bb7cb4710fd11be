"""Figures as plain data for the templates: axes, points and lines in SVG units."""
