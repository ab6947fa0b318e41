"""Sepsis: suspected infection, organ dysfunction, onset, and who is of the cohort."""
