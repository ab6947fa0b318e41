"""What each backend, index and parameter really costs, on one's own vectors."""
