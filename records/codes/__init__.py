"""Diagnosis and procedure codes: their groups, and the phenotypes that they make."""
