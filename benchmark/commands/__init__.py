"""The commands, by what they are for. What takes time to import is imported by the command that needs it."""
