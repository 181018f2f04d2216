"""Small pictures of claims: what was found beside what was claimed, or the smallest graph that breaks a statement."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from math import cos, pi, sin
from typing import Any

from flowprune.study.figures import number

WIDTH, HEIGHT, EDGE = 240, 76, 12


@dataclass(frozen=True)
class Gauge:
    """A measured range on a line, and the side of ``needs`` where the claim would have it."""

    low: str  # names of the evidence at both ends; equal for a single number
    high: str
    needs: float
    measured: str
    at_most: bool = False  # the claim needs no more than that

    def contradicts(self, evidence: Mapping[str, Any]) -> bool:
        """Whether the range begins on the wrong side."""
        low = float(evidence[self.low])
        return low > self.needs if self.at_most else low < self.needs

    def svg(self, evidence: Mapping[str, Any]) -> str:
        low, high = float(evidence[self.low]), float(evidence[self.high])
        ends = sorted([low, high, self.needs])
        margin = 0.25 * (ends[2] - ends[0])
        left, right = ends[0] - margin, ends[2] + margin

        def x(value: float) -> float:
            return EDGE + (WIDTH - 2 * EDGE) * (value - left) / (right - left)

        found = number(low) if low == high else f"{number(low)} to {number(high)}"
        side = "at most" if self.at_most else "more than"
        told = f"{self.measured}: {found}, where the claim needs {side} {number(self.needs, 1)}".replace(
            "-", "−"
        )
        claimed = f"claimed: {side} {number(self.needs, 1).removesuffix('.0')}"
        if self.at_most:
            begin, end, anchor, place, claimed = 0, x(self.needs), "start", 2, f"◂ {claimed}"
        else:
            begin, end, anchor, place, claimed = x(self.needs), WIDTH, "end", WIDTH - 2, f"{claimed} ▸"
        y, a, b = 34, x(low), x(high)
        middle = min(max((a + b) / 2, 60), WIDTH - 60)
        return _svg(
            told,
            f'<rect class="zone" x="{begin:.1f}" y="{y - 12}" width="{end - begin:.1f}" height="24"/>'
            f'<path class="line" d="M0 {y}H{WIDTH}M{x(self.needs):.1f} {y - 12}v24"/>'
            f'<path class="found" d="M{a:.1f} {y}H{b:.1f}"/><circle cx="{a:.1f}" cy="{y}" r="4.5"/>'
            f'<circle cx="{b:.1f}" cy="{y}" r="4.5"/>'
            f'<text x="{middle:.1f}" y="14">{found.replace("-", "−")}</text>'
            f'<text class="small {anchor}" x="{place}" y="{y + 28}">{claimed}</text>',
        )


@dataclass(frozen=True)
class Smallest:
    """The first graph that the evidence names as its smallest counterexample, drawn."""

    measured: str

    def svg(self, evidence: Mapping[str, Any]) -> str:
        first = str(evidence["smallest"]).split(";")[0]
        edges = [(int(a), int(b)) for a, b in re.findall(r"(\d+)–(\d+)", first)]
        n = 1 + max(max(edge) for edge in edges)
        turn = [pi + 2 * pi * i / n for i in range(n)]
        at = [(WIDTH / 2 + 44 * cos(t), 30 + 18 * sin(t)) for t in turn]
        lines = "".join(
            f"M{at[a][0]:.1f} {at[a][1]:.1f}L{at[b][0]:.1f} {at[b][1]:.1f}" for a, b in dict.fromkeys(edges)
        )
        loops = "".join(
            f'<circle class="loop" cx="{x + (9 if x > WIDTH / 2 else -9):.1f}" cy="{y:.1f}" r="9"/>'
            for x, y in at
            if "loop" in first
        )
        nodes = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6"/>' for x, y in at)
        words = f"{n} nodes, {len(set(edges))} edge" + ("s" if len(set(edges)) > 1 else "")
        words += ", loops" if loops else ""
        return _svg(
            f"{self.measured}: {words}",
            f'<path class="line" d="{lines}"/>{loops}{nodes}<text class="small" x="{WIDTH / 2}" y="70">{words}</text>',
        )


PICTURES: dict[str, Gauge | Smallest] = {
    "G22": Gauge(
        "neg_prod_minus_prod_low_lower",
        "neg_prod_minus_prod_low_upper",
        0,
        "points that negative eigenvalues gain without homophily, 95 % interval",
    ),
    "G27": Gauge(
        "smallest_gain", "largest_gain", 0, "points that a mixing by features gains, means of four designs"
    ),
    "D4": Smallest("the smallest layer whose spectral radius pruning does not lower"),
    "D5": Gauge("shot_lower", "shot_upper", 0, "points that pruning step by step gains, 95 % interval"),
    "D6": Gauge("gain_lower", "gain_upper", 0, "points of the best rate over the smallest, 95 % interval"),
    "D7": Gauge(
        "least_fall", "fall", 2, "points lost with 128 layers, from the best to the worst graph", at_most=True
    ),
    "D8": Gauge("least", "most", 1, "accuracy per operation over that of the best other network"),
    "D9": Gauge("part", "most", 0, "points ahead of the other networks where it leads most, 95 % interval"),
    "D11": Gauge(
        "least_range",
        "least_range",
        2,
        "points between settings, the network where they differ less",
        at_most=True,
    ),
    "D14": Gauge(
        "upper", "upper", 0, "points that pruning gains on Cora and CiteSeer, highest end of the intervals"
    ),
    "R1": Gauge(
        "least_fall", "fall", 2, "points lost with 128 layers, from the best to the worst graph", at_most=True
    ),
    "R3": Smallest("the smallest graph on which the energy is lost"),
    "A6": Gauge("earlier", "earlier", 0.5, "share of cells where one mode prunes earlier"),
    "A9": Gauge("kept", "kept", 0.9, "share of pairs that name the same edge after a renumbering"),
    "W10": Gauge("own_adam_lower", "own_adam_upper", 0.5, "rank correlation of top-5 energy and early speed"),
    "B3": Gauge("share", "share", 0.5, "share of published orders that are seen again"),
}


def thumbnail(id: str, evidence: Mapping[str, Any]) -> str:
    """The picture of a claim with its words under it; empty for a claim that has none."""
    if id not in PICTURES:
        return ""
    picture = PICTURES[id]
    caption = f"<figcaption>{escape(picture.measured)}</figcaption>"
    return f'<figure class="fp-thumb">{picture.svg(evidence)}{caption}</figure>'


def _svg(told: str, shapes: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told, quote=True)}">{shapes}</svg>'
