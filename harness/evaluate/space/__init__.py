"""The geometry of a vector space, and what few labels reach in it."""
