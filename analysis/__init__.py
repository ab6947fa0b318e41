"""What a retrieved cohort means."""
