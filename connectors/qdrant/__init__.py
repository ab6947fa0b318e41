"""Qdrant: the server, the embedded engine, and collections of others."""
