"""Records in, unit vectors out: `base.py`."""
