"""Figures as plain data that the templates draw: axes, points and lines in SVG units."""
