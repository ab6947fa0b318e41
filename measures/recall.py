"""Recall of exact nearest neighbours, safe against ties."""

TIE = 1e-5  # a neighbour as near as the k-th counts, whatever its id
