"""Screening: who meets the criteria of a profile, who may, and what each criterion costs."""
