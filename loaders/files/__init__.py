"""Files of vectors: read for a load, and written by an export."""
