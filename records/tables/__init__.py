"""Tables on disk: CSV, gz and Parquet read row by row, bad rows set apart, rows dealt to parts."""
