"""Where records come from: MIMIC-III, MIMIC-IV and notes in a CSV file, each read in batches of whole patients."""
