"""A collection in service, measured and tuned without a write."""
