"""Encoders that see records otherwise than they are: less codes, or what lies in a window."""
