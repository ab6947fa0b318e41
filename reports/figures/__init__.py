"""Figures of what happened, as SVG: survival, differences, pathways, courses. No script, no network, no style sheet.

Each is a frozen dataclass that `svg(width)` draws, in px of a figure shown at its own size; `svg.both` puts a wide and
a narrow one on a page, of which a screen or a sheet shows what fits. A number that is hidden comes as None: it is drawn
as HIDDEN, or as a gap. Groups differ by dashes and letters besides colours, for prints in black and white.
"""
