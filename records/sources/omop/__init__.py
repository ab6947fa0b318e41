"""OMOP CDM 5.3 and 5.4: what its tables are, where they may stand, and the lists that help where no vocabulary does."""
