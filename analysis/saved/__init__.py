"""Cohorts that are kept: made, asked again, compared by their members, and exported."""
