"""The synthetic hospital: invented patients in MIMIC-III's shape."""
