"""What commands about cohorts print."""
