"""What a benchmark found: measures, tables, figures, page."""
