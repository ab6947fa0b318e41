"""Find patients like this one, on the vector database a hospital already runs."""

__version__ = "0.1.0"
