"""What a drawn figure says."""

from __future__ import annotations

from matplotlib.figure import Figure
from matplotlib.text import Text

from flowprune.study import figures


def words(fig: Figure) -> str:
    """All text of a figure; shows and thereby closes it."""
    fig.canvas.draw()
    said = " | ".join(text.get_text() for text in fig.findobj(Text) if text.get_visible())
    figures.show(fig, alt="A figure that is drawn by a test and shown nowhere.")
    return said
