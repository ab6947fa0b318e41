"""Measures: how well vectors tell who dies, and whether neighbours are clinically alike."""
