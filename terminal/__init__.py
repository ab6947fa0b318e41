"""What people see: progress on stderr; tables, JSON and CSV on stdout. Used by `cli.py` alone."""
