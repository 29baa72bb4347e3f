"""Colors of segments that color-blind readers can distinguish too.

Found by a search for the twelve colours whose smallest distance in OKLab, seen normally and with full
protanopia, deuteranopia and tritanopia (Machado et al. 2009), is largest, the first eight before the rest:
0.136 for eight, 0.09 for twelve; the well-known sets of Okabe and Ito or Tol reach 0.02 to 0.08 with as many.
Light enough for a dark page, dark enough for a light one.
"""

SEGMENTS = (
    "#497fa6",
    "#e3d268",
    "#803a3c",
    "#92def3",
    "#364b99",
    "#bca083",
    "#7ba4f7",
    "#ad631e",
    "#b8ccab",
    "#8e5f66",
    "#a47e72",
    "#9696b9",
)


def colours(segments: int) -> list[str]:
    """Return one color per segment; beyond twelve segments they repeat, and names and filters distinguish them."""
    return [SEGMENTS[label % len(SEGMENTS)] for label in range(segments)]
