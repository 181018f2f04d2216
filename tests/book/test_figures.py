"""The house style: what is shown reads in both themes, and says in words what is seen."""

from __future__ import annotations

import base64
import itertools
import json
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import HTML
from IPython.utils.capture import capture_output
from matplotlib.colors import to_rgb

from flowprune.study import figures

ALT = "One line rises from the lower left to the upper right."
PAPERS = {"light": "#ffffff", "dark": "#121212"}


def drawn():
    figures.theme()
    fig, ax = plt.subplots()
    ax.plot([0, 1], [0, 1], color=figures.COLOUR["GCN"])
    ax.plot([0, 1], [1, 0], color="black")
    ax.set_xlabel("time")
    return fig


def shown(function, *args, **kwargs) -> tuple[BeautifulSoup, dict]:
    InteractiveShell.instance(history_load_length=0)  # without one, display only prints
    with capture_output() as captured:
        function(*args, **kwargs)
    (output,) = captured.outputs
    return BeautifulSoup(output.data["text/html"], "html.parser"), output.data


def svg(image) -> str:
    return base64.b64decode(image["src"].split(",", 1)[1]).decode()


def test_a_figure_is_two_pictures_with_alternative_text_and_a_caption():
    fig = drawn()
    page, _ = shown(figures.show, fig, alt=ALT + ' "x" < 1', caption="n = 2 & more")
    light, dark = page.select("figure > .fp-picture > img")
    assert light["alt"] == dark["alt"] == ALT + ' "x" < 1'
    assert light["width"] == dark["width"] == "700"
    assert light["class"] == ["only-light"] and dark["class"] == ["only-dark"]
    assert page.figcaption.text == "n = 2 & more"
    assert not plt.fignum_exists(fig.number)
    assert figures.INK in svg(light) and figures.INK not in svg(dark)
    assert figures.COLOUR["GCN"] in svg(light) and figures.COLOUR["GCN"] in svg(dark)
    assert PAPERS["dark"] in svg(dark) and PAPERS["light"] not in svg(dark)
    assert re.search(r'<svg fill="#e4e4e4"', svg(dark))  # black, SVG's unwritten default, is not invisible


def test_the_same_figure_is_the_same_bytes():
    pictures = [shown(figures.show, drawn(), alt=ALT)[0].img["src"] for _ in range(2)]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize("alt", ["", "A plot.", "   " * 20])
def test_a_figure_without_words_is_refused(alt):
    with pytest.raises(ValueError, match="too short"):
        figures.show(drawn(), alt=alt)
    plt.close("all")


def test_an_interactive_figure_carries_data_slider_and_still_picture():
    frames = [go.Frame(name=f"λ = {k}", data=[go.Scatter(y=[0, k])]) for k in range(3)]
    fig = go.Figure(data=frames[0].data, frames=frames, layout={"title": "</script><b>"})
    page, data = shown(figures.interactive, fig, ALT, "eigenvalue λ", drawn())
    slider = page.select_one("input[type=range]")
    assert (slider["min"], slider["max"]) == ("0", "2")
    assert page.select_one(f"label[for={slider['id']}]").text == "eigenvalue λ"
    content = json.loads(page.script.text)
    assert [frame["name"] for frame in content["frames"]] == ["λ = 0", "λ = 1", "λ = 2"]
    assert page.select_one(".fp-plot")["aria-label"] == ALT
    assert len(page.select(".fp-still img")) == 2
    assert data["application/vnd.plotly.v1+json"]["layout"]["title"]["text"] == "</script><b>"
    with pytest.raises(ValueError, match="no frames"):
        figures.interactive(go.Figure(), ALT, "nothing", drawn())
    plt.close("all")


def test_tables_have_caption_scopes_and_fixed_digits():
    df = pd.DataFrame(
        {"model": ["GCN", "a<b"], "mean": [0.12345, np.nan], "wins": [True, False], "n": [3, 4]}
    )
    df["link"] = [HTML("<a href='#'>x</a>")] * 2
    page = BeautifulSoup(figures.table(df, "Accuracy").data, "html.parser")
    assert page.caption.text == "Accuracy"
    assert {th["scope"] for th in page.select("th")} == {"col"}
    rows = [[td.text for td in tr.select("td")] for tr in page.select("tbody tr")]
    assert rows == [["GCN", "0.12", "yes", "3", "x"], ["a<b", "n/a", "no", "4", "x"]]
    wide = pd.DataFrame(np.zeros((1, 8)))
    with pytest.raises(ValueError, match="at most 7"):
        figures.table(wide, "Too wide")
    assert "fp-sortable" in figures.table(wide, "For exploring", sortable=True).data


def linear(colour: str) -> np.ndarray:
    c = np.array(to_rgb(colour))
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("model", figures.COLOUR)
def test_each_model_stands_out_on_both_papers(model):
    for paper in PAPERS.values():
        high, low = sorted((luminance(figures.COLOUR[model]), luminance(paper)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 3  # WCAG 2.2, 1.4.11


DEFICIENCY = {  # Machado et al. 2009, severity 1, on linear RGB
    "normal": np.eye(3),
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
       [0.0883024619, 0.2817188376, 0.6299787005]]  # fmt: skip
OKLAB = [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
         [0.0259040371, 0.7827717662, -0.8086757660]]  # fmt: skip


@pytest.mark.parametrize("vision", DEFICIENCY)
def test_models_differ_under_every_vision(vision):
    def seen(model: str) -> np.ndarray:
        rgb = np.clip(DEFICIENCY[vision] @ linear(figures.COLOUR[model]), 0, 1)
        return OKLAB @ np.cbrt(LMS @ rgb)

    for a, b in itertools.combinations(figures.COLOUR, 2):
        assert np.linalg.norm(seen(a) - seen(b)) > 0.05, (a, b)


def test_an_unknown_model_keeps_its_colour():
    assert figures.COLOUR["GIN"] == figures.COLOUR["GIN"]
    assert "GIN" not in figures.COLOUR
