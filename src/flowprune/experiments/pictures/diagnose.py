"""Figures of the chapter on what is wrong with a network."""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from flowprune.dynamics.diagnose import ALIKE, EXPLODED, SMOOTH, VANISHED, Diagnosis
from flowprune.study.figures import INK, number

LEAST = 1e-9  # smaller readings are drawn here
LIKENESS, ENERGY, GRADIENT = "#247884", "#b4546c", "#8a6d00"


def readings(diagnoses: Mapping[str, Diagnosis]) -> Figure:
    """A column for each network: above μ and energy of its states, below the gradients over that behind the last layer.

    Dotted lines are the thresholds of the rules, each in the colour of its reading.
    """
    fig, axes = plt.subplots(2, len(diagnoses), figsize=(7, 4.6), sharex="col", sharey="row", squeeze=False)
    for (above, below), (name, found) in zip(axes.T, diagnoses.items(), strict=True):
        t = found.table
        for column, colour, mark, least in (("μ", LIKENESS, "o-", ALIKE), ("energy", ENERGY, "s--", SMOOTH)):
            above.semilogy(t.index, t[column].clip(lower=LEAST), mark, color=colour, ms=3.5, lw=1.3)
            above.axhline(least, color=colour, lw=1, ls=":")
        above.set_title("\n".join([name, *(found.findings or ["nothing found"])]), fontsize=9.5)
        below.axhline(1, color=INK, lw=0.6)
        for threshold in (VANISHED, EXPLODED):
            below.axhline(threshold, color=GRADIENT, lw=1, ls=":")
        relative = (t.gradient / t.gradient.iloc[-1]).replace(np.inf, np.nan).clip(LEAST, 1 / LEAST)
        below.semilogy(t.index, relative, "D-", color=GRADIENT, ms=3.5, lw=1.3)
        below.set_xlabel("layers passed")
        below.xaxis.get_major_locator().set_params(integer=True)
    axes[0, 0].set_ylabel("μ ●   energy ■")
    axes[1, 0].set_ylabel("relative gradient")
    return fig


def in_words(diagnoses: Mapping[str, Diagnosis]) -> str:
    """What the figure shows of each network, for readers who cannot see it."""
    said = []
    for name, found in diagnoses.items():
        t = found.table
        said.append(
            f"{name}: μ goes from {number(t['μ'].iloc[0])} to {number(t['μ'].iloc[-1])} with a least value of "
            f"{number(t['μ'].min())}, the energy from {number(t.energy.iloc[0])} to {number(t.energy.iloc[-1])}, the "
            f"gradient behind the first layer is {number(t.gradient.iloc[1] / t.gradient.iloc[-1])} times the last"
        )
    return "Likeness, energy and gradients over the layers passed. " + "; ".join(said) + "."
