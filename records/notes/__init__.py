"""The text of notes: cleaning, sections, context, de-identification."""
