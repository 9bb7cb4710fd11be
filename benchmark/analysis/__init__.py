"""Analyses of finished cells: added frequencies, parameter contributions, branch responses and transfer."""
