"""What people see: progress on stderr; tables, JSON and CSV on stdout."""
