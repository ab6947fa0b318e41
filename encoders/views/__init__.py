"""Encoders that see records otherwise than they are: in a window, less codes, by concepts; which is kept with them."""
