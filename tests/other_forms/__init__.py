"""A hospital in MIMIC-III's tables, written in the forms that other sources read."""
