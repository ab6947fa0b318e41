"""Are the neighbours right? Retrieval quality of encoders, engines and indexes on records with known cohorts."""
