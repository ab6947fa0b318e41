"""Transformers over note windows: ClinicalBERT, BioBERT, ClinicalNoteBERT and sentence-transformers folders."""
