"""One house style for every figure, number and table of the book.

A figure is shown with :func:`show`: an accessible ``<figure>`` with alternative text, drawn twice, once with
dark ink and once with light ink, so that it reads in both themes. An interactive figure is shown with
:func:`interactive`: its data travel in the page, a range slider moves it, and a static picture stands in for
readers without JavaScript.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from collections.abc import Iterable
from html import escape
from numbers import Integral, Real
from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.pyplot as plt
import seaborn as sns
from IPython.display import HTML, display

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go
    from matplotlib.figure import Figure

INK, FAINT, PAPER = "#262626", "#c9c9c9", "#ffffff"
"""Text and axes, grid, background of the light theme."""

_DARK = {INK: "#e4e4e4", FAINT: "#4a4f57", PAPER: "#121212", "#000000": "#e4e4e4"}
_SPARE = ("#247884", "#8a6d00", "#846060", "#5478d8", "#b4546c", "#6f7f2a")


_STRUCTURE = {  # the names of the paper's table: the structure of W decides the colour
    "GRAFF (D)": "GRAFF diag",
    "GRAFF (D, ReLU)": "GRAFF diag",
    "GRAFF (DD)": "GRAFF DD",
    "GRAFF (DD, ReLU)": "GRAFF DD",
}


class _Colours(dict[str, str]):
    """Colours by model name; a model without one gets a spare colour that depends on its name alone."""

    def __missing__(self, model: str) -> str:
        if model in _STRUCTURE:
            return self[_STRUCTURE[model]]
        return _SPARE[hashlib.sha256(model.encode()).digest()[0] % len(_SPARE)]


COLOUR: dict[str, str] = _Colours(
    {
        "MLP": "#786c6c",
        "GCN": "#1890fc",
        "residual GCN": "#546ccc",
        "GAT": "#009c6c",
        "heat": "#b4609c",
        "GRAFF sum": "#c08424",
        "GRAFF prod": "#cc3000",
        "GRAFF neg-prod": "#7830fc",
        "GRAFF diag": "#e46c9c",
        "GRAFF DD": "#9c3ca8",
        "CGNN": "#0c7800",
        "GRAND": "#a884cc",
        "GraphCON": "#d854fc",
        "residual GAT": "#825082",
        "PairNorm": "#5a8246",
        "DropEdge": "#fa5a6e",
        "G²-GAT": "#d200d2",
        "DAGNN": "#506e46",
        "DYNAMO-GAT": "#f00050",
    }
)
"""One colour per model for the whole book.

The colours were found by a search over those with contrast of at least 3:1 on the paper of both themes, for
the largest perceptual distance (OKLab) under normal vision and the three simulated colour-vision deficiencies
of Machado et al. (2009).
"""

READING = {"minus": "#247884", "plus": "#8a6d00", "correlation": "#b4546c"}
"""One colour per reading of DYNAMO's sign, where figures compare the readings and not models."""


def theme() -> None:
    """Set the house style of every matplotlib figure drawn from here on: 700 pixels wide, on a white grid."""
    sns.set_theme(
        context="notebook",
        style="whitegrid",
        palette=list(COLOUR.values()),
        rc={
            "figure.figsize": (7, 4),
            "figure.constrained_layout.use": True,
            "font.size": 10.5,
            "axes.titlesize": 11,
            "axes.labelsize": 10.5,
            "xtick.labelsize": 9.5,
            "ytick.labelsize": 9.5,
            "legend.fontsize": 9.5,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "lines.linewidth": 1.8,
            "grid.linewidth": 0.6,
            "figure.facecolor": PAPER,
            "axes.facecolor": PAPER,
            "grid.color": FAINT,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "svg.fonttype": "path",
        },
    )


def show(fig: Figure, alt: str, caption: str = "") -> None:
    """Display a matplotlib figure with its alternative text and an optional caption, and close it.

    The picture is SVG. Artists with more than a few thousand marks should be drawn with ``rasterized=True``.

    Args:
        fig: the figure; 1 inch is shown as 100 pixels.
        alt: what is seen, for readers who cannot see it, in at least 20 characters.
        caption: the text under the figure, plain text.

    Raises:
        ValueError: if ``alt`` is too short to say what is seen.
    """
    display(HTML(_figure(_picture(fig, alt), caption)))


def interactive(fig: go.Figure, alt: str, slider_label: str, picture: Figure, caption: str = "") -> None:
    """Display a plotly figure with frames, moved by one labelled range slider, beside a static picture.

    The frames' names are what the slider reads out. In the built book ``flowprune.js`` draws the figure with
    the copy of plotly.js that the book serves itself; without JavaScript the static picture remains.

    Args:
        fig: the plotly figure; its layout needs no slider or buttons of its own, and its text no LaTeX.
        alt: what is seen and what the slider changes, in at least 20 characters.
        slider_label: the name of the quantity that the slider moves.
        picture: a matplotlib figure of one telling position, or of several side by side.
        caption: the text under the figure, plain text.

    Raises:
        ValueError: if the figure has no frames, or ``alt`` is too short.
    """
    if not fig.frames:
        raise ValueError(
            "interactive figure: no frames; give the plotly figure one frame for each slider position"
        )
    names = [frame.name or str(i) for i, frame in enumerate(fig.frames)]
    data = fig.to_json().replace("</", "<\\/")  # so that no text in the data can close the script element
    name = "fp-" + hashlib.sha256(data.encode()).hexdigest()[:10]
    html = (
        f'<div class="fp-interactive" id="{name}">'
        f'<div class="fp-plot" role="img" aria-label="{_checked(alt)}"></div>'
        f'<p class="fp-slider" hidden><label for="{name}-slider">{escape(slider_label)}</label>'
        f'<input type="range" id="{name}-slider" min="0" max="{len(names) - 1}" value="0" step="1">'
        f'<output for="{name}-slider">{escape(names[0])}</output></p>'
        f'<script type="application/json">{data}</script>'
        f'<div class="fp-still">{_picture(picture, alt)}</div></div>'
    )
    bundle = {
        "text/html": _figure(html, caption),
        "application/vnd.plotly.v1+json": json.loads(fig.to_json()),
    }
    display(bundle, raw=True)


def number(x: float, digits: int = 2) -> str:
    """Format a number the same way everywhere: fixed digits, or a power of ten when it is very small or
    large.

    >>> number(0.12345), number(-0.001, 2), number(3.2e-13), number(float("nan")), number(12)
    ('0.12', '-1.0e-03', '3.2e-13', 'n/a', '12')
    """
    if isinstance(x, Integral):
        return str(int(x))
    if math.isnan(x):
        return "n/a"
    if math.isinf(x):
        return "∞" if x > 0 else "-∞"
    if x != 0 and (abs(x) < 0.5 * 10**-digits or abs(x) >= 1e6):
        return f"{x:.1e}"
    return f"{x:.{digits}f}"


def table(df: pd.DataFrame, caption: str, digits: int = 2, sortable: bool = False) -> HTML:
    """Turn a data frame into an accessible table: a caption, column headings with scope, numbers at fixed
    digits.

    Tables for reading have at most seven columns; a table for exploring is ``sortable`` and may have more.
    Cells that are ``HTML`` objects are inserted as they are.
    """
    if len(df.columns) > 7 and not sortable:
        raise ValueError(f"table {caption!r}: {len(df.columns)} columns; a table for reading has at most 7")
    kinds = {True: ' class="fp-number"', False: ""}
    numeric = [all(_is_number(value) for value in df[column]) for column in df.columns]
    head = "".join(
        f'<th scope="col"{kinds[right]}>{escape(str(column))}</th>'
        for column, right in zip(df.columns, numeric, strict=True)
    )
    rows = "".join(f"<tr>{''.join(_cells(row, digits))}</tr>" for row in df.itertuples(index=False))
    kind = "fp-table fp-sortable" if sortable else "fp-table"
    return HTML(
        f'<div class="fp-scroll" tabindex="0" role="region" aria-label="{escape(caption)}">'
        f'<table class="{kind}">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _cells(row: Iterable[object], digits: int) -> Iterable[str]:
    for value in row:
        if isinstance(value, HTML):
            yield f"<td>{value.data}</td>"
        elif isinstance(value, bool):
            yield f"<td>{'yes' if value else 'no'}</td>"
        elif _is_number(value):
            yield f'<td class="fp-number">{number(value, digits)}</td>'
        else:
            yield f"<td>{escape(str(value))}</td>"


def _checked(alt: str) -> str:
    if len(alt.strip()) < 20:
        raise ValueError(f"figure: alternative text {alt!r} is too short; say in a sentence what is seen")
    return escape(alt, quote=True)


def _figure(content: str, caption: str) -> str:
    words = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return f'<figure class="fp-figure">{content}{words}</figure>'


def _picture(fig: Figure, alt: str) -> str:
    """Return the figure as two `<img>`, one per theme; outside the book only the light one is seen."""
    words, width = _checked(alt), round(100 * fig.get_figwidth())
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "flowprune"}):
        fig.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(fig)
    light = buffer.getvalue()
    dark = light.replace("<svg ", f'<svg fill="{_DARK["#000000"]}" ', 1)  # black is SVG's unwritten default
    for ink, other in _DARK.items():
        dark = dark.replace(ink, other)
    style = 'style="display:none"'
    pair = _image(light, words, width, "only-light", "") + _image(dark, words, width, "only-dark", style)
    return f'<div class="fp-picture">{pair}</div>'  # apart, as the theme hides a caption beside such an image


def _image(svg: str, alt: str, width: int, kind: str, style: str) -> str:
    source = base64.b64encode(svg.encode()).decode()
    return (
        f'<img class="{kind}" alt="{alt}" width="{width}" {style} src="data:image/svg+xml;base64,{source}">'
    )
