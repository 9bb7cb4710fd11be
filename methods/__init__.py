"""The PETL methods, one file each."""
