"""A cohort of sepsis out of a source: who is of it, why others are not, and scores of the first day."""
