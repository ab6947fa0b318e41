"""What a patient is: readers, cleaning, codes, the synthetic hospital. The seam is `base.py`."""
