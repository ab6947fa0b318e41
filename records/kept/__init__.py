"""What is kept of a collection's records beside it: the events and outcomes of its units, in two Parquet files."""
