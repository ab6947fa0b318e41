"""The filter language: conditions, and the reading of them."""
