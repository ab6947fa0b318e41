"""An index that an engine lacks, matched by measured recall."""
