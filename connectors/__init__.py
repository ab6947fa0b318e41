"""One vector engine behind one small protocol: `base.py`."""
