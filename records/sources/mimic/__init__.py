"""MIMIC-III and MIMIC-IV: their declarations, and where their tables are."""
