"""Searches and writes as clients send them."""
