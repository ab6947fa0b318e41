"""Concept maps: codes, drugs and laboratory items by what they mean, from open tables or a site's own."""
