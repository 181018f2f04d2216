"""The study of growing graphs: which trials run, and what is read from their rows (D13)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from flowprune.experiments import scaling
from flowprune.experiments.growth import MODELS, AccuracyTrial, GrowthTrial, MemoryTrial, nodes
from flowprune.experiments.network_rows import done
from flowprune.experiments.speed import geometric
from flowprune.study.specs import Trial
from flowprune.study.stats import Interval, holm, mean_interval, paired

SHARES = (0.2, 0.5, 0.8)
WIDTHS = (8, 16, 32, 64, 128)
GRAPHS = {10_000: 8, 100_000: 8, 1_000_000: 4, 3_162_280: 1}  # block models of each size
CONTROLLED = 1_000_000  # up to so many edges the controls are trained too
PHASES = ("layer", "step")
ANYWHERE, NEAR, KEPT = "anywhere", "near", "near, memory kept"
PLACES = {(True, False): ANYWHERE, (False, False): NEAR, (False, True): KEPT}  # by shuffled and kept
NAMES = {"gat": "GAT", "dynamo": "DYNAMO-GAT", "one shot": "pruned at once"}
LIMIT = 1.1  # the largest exponent that counts as proportional
MARGIN = 1.0  # points of accuracy that do not matter


def sizes(low: int, high: int) -> list[int]:
    """Two sizes a decade from 10^low to 10^high edges.

    >>> sizes(3, 4)
    [1000, 3160, 10000]
    """
    return scaling.sizes(low, high)[::2]


def timed(edges: Sequence[int], rounds: int = 5, shares: Sequence[float] = SHARES) -> list[GrowthTrial]:
    """Every size with neighbours anywhere in memory, where shares are removed too, with neighbours near, and near with
    freed memory kept."""
    anywhere = [GrowthTrial(edges=E, shares=tuple(shares), rounds=rounds) for E in edges]
    near = [GrowthTrial(edges=E, shuffled=False, kept=k, rounds=rounds) for k in (False, True) for E in edges]
    return anywhere + near


def memory(edges: Sequence[int], width: int = 16) -> list[MemoryTrial]:
    """Both models at every size."""
    return [MemoryTrial(edges=E, model=model, width=width) for E in edges for model in MODELS]


def accuracy(graphs: Mapping[int, int], homophily: Sequence[float], **fields: Any) -> list[AccuracyTrial]:
    """On so many block models of each size and homophily every model, on large ones GAT and DYNAMO-GAT alone."""
    return [
        AccuracyTrial(edges=E, homophily=h, graph=i, model=model, **fields)
        for E, count in graphs.items()
        for h in homophily
        for i in range(count)
        for model in (("mlp", "gat", "dynamo", "one shot") if E <= CONTROLLED else MODELS)
    ]


def over_width(edges: int, widths: Sequence[int], rounds: int = 5) -> list[GrowthTrial]:
    """Every width at one size, whole layers alone."""
    return [GrowthTrial(edges=edges, width=d, rounds=rounds) for d in widths]


def study() -> list[Trial]:
    """The published trials of time and memory: 10⁴ to 10⁷ edges, and every width at 10⁶, each once."""
    E, one = sizes(4, 7), 10**6
    widths = [t for d in WIDTHS for t in memory([one], d)]
    return list({t.key: t for t in (*timed(E), *memory(E), *over_width(one, WIDTHS), *widths)}.values())


def accuracy_study() -> list[AccuracyTrial]:
    """The published trials of accuracy."""
    return accuracy(GRAPHS, (0.8, 0.2))


# --- what was measured -------------------------------------------------------------------------------


def times(table: pd.DataFrame) -> pd.DataFrame:
    """Median, fastest and slowest milliseconds of whole layers and steps, one row a trial, phase and model.

    Columns: edges, width, place (of neighbours), phase (layer, step), model, median, low, high.
    """
    names = ["edges", "width", "place", "phase", "model", "median", "low", "high"]
    rows = [
        [row.edges, row.width, PLACES[row.shuffled, row.kept], phase, model, np.median(ms), min(ms), max(ms)]
        for _, row in done(table).iterrows()
        for phase, model in product(PHASES, MODELS)
        for ms in [row[f"{phase}/{model}"]]
    ]
    return pd.DataFrame(rows, columns=names)


def exponents(times: pd.DataFrame, memory: pd.DataFrame) -> pd.DataFrame:
    """Exponents over edges, intervals: of time by phase, model and place of neighbours, and of memory by model.

    ``times``: of :func:`times`; ``memory``: collected memory trials. Both of one width and at least three sizes.
    """
    rows = [
        {"of": phase, "model": model, "place": place, "exponent": exponent(part, "median")}
        for (phase, model, place), part in times.groupby(["phase", "model", "place"], sort=False)
    ]
    rows += [
        {"of": "memory", "model": model, "place": ANYWHERE, "exponent": exponent(part, "bytes")}
        for model, part in done(memory).groupby("model", sort=False)
    ]
    return pd.DataFrame(rows)


def exponent(part: pd.DataFrame, value: str) -> Interval:
    """Of a column against the number of edges."""
    return scaling.exponent(part.edges.to_numpy(), part[value].to_numpy(float))


def passes(table: pd.DataFrame) -> pd.DataFrame:
    """What a pass takes after pruning: one row a size and share of edges removed.

    Columns: edges, removed, time (over that of the whole layer, paired within rounds, an interval), saved (time saved
    over the share removed, from the means), rebuild (milliseconds) and step (of DYNAMO-GAT, milliseconds).
    """
    rows = []
    for _, row in done(table).iterrows():
        for share in row.shares:
            ratio = geometric(np.divide(row[f"pruned/{share:g}"], row[f"whole/{share:g}"]))
            rows.append(
                {
                    "edges": row.edges,
                    "removed": share,
                    "time": ratio,
                    "saved": (1 - ratio.mean) / share,
                    "rebuild": row[f"rebuild/{share:g}"][0],
                    "step": float(np.median(row["step/dynamo"])),
                }
            )
    return pd.DataFrame(rows)


def per_edge(memory: pd.DataFrame) -> pd.DataFrame:
    """Bytes an edge, and how often an N × N matrix of 4-byte numbers would fit what was held: one row a trial."""
    found = done(memory)
    dense = 4 * found.edges.map(nodes).astype(float) ** 2 / found.bytes
    return found[["edges", "model", "width", "bytes"]].assign(per_edge=found.bytes / found.edges, dense=dense)


def by_width(memory: pd.DataFrame, model: str = "dynamo") -> tuple[float, float, float]:
    """Of bytes an edge = a + b · width at one size: a, b, and the largest relative distance from that line.

    Raises ValueError for fewer than three widths.
    """
    part = per_edge(memory)[lambda t: t.model == model]
    if len(part) < 3:
        raise ValueError(f"a line over the width needs at least 3 widths, not {len(part)}")
    line = stats.linregress(part.width, part.per_edge)
    off = (line.intercept + line.slope * part.width) / part.per_edge - 1
    return float(line.intercept), float(line.slope), float(off.abs().max())


def room(memory: pd.DataFrame, gigabytes: float) -> pd.Series:
    """The number of edges that fill so much memory, by model, from the bytes an edge of the largest size held."""
    largest = per_edge(memory)[lambda t: t.edges == t.edges.max()].set_index("model")
    return gigabytes * 1e9 / largest.per_edge


def reached(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy in points, one row a graph: edges, homophily, graph and a column a model (missing where not trained)."""
    found = done(table).assign(points=lambda t: 100 * t.test_accuracy)
    return found.pivot(index=["edges", "homophily", "graph"], columns="model", values="points").reset_index()


def contrasts(reached: pd.DataFrame, against: str = "gat") -> pd.DataFrame:
    """DYNAMO-GAT minus another model in points, for every size and homophily with at least two graphs of both.

    Paired by graph; p-values corrected together (Holm).
    """
    both = reached.dropna(subset=[against])
    parts = [(key, p) for key, p in both.groupby(["edges", "homophily"], sort=False) if len(p) > 1]
    compared = [paired(p.dynamo, p[against]) for _, p in parts]
    return pd.DataFrame(
        [
            {
                "edges": E,
                "homophily": h,
                "graphs": c.n,
                "difference": c.mean,
                "lower": c.lower,
                "upper": c.upper,
                "adj. p": p,
            }
            for ((E, h), _), c, p in zip(parts, compared, holm([c.p for c in compared]), strict=True)
        ]
    )


def own(table: pd.DataFrame) -> pd.DataFrame:
    """For reading: what every model gives a node itself of its attention, and what it removed, in percent, at the
    largest size that has every model; means over graphs."""
    found = done(table)
    size = found[found.model == "one shot"].edges.max()
    part = found[(found.edges == size) & found.model.isin(NAMES)]
    by = part.groupby(["homophily", "model"], sort=False)
    means = (100 * by[["own", "removed", "test_accuracy"]].mean()).reset_index()
    return pd.DataFrame(
        {
            "edges": f"{size:,}",
            "graphs": by.size().to_numpy(),
            "homophily": [f"{h:g}" for h in means.homophily],
            "model": means.model.map(NAMES),
            "attention to itself": means["own"],
            "edges removed": means.removed,
            "test accuracy": means.test_accuracy,
        }
    )


def evidence(exponents: pd.DataFrame, reached: pd.DataFrame, edges: Sequence[int]) -> dict[str, Any]:
    """The evidence of claim D13; ``edges``: the sizes that were timed. Accuracy is judged on the upper decade."""
    own = exponents[exponents.model == "dynamo"]
    clock = own[own.of != "memory"]
    parts = {place: clock[clock.place == place] for place in PLACES.values()}
    parts["memory"] = own[own.of == "memory"]
    ends = {
        name: (max(i.lower for i in part.exponent), max(i.upper for i in part.exponent))
        for name, part in parts.items()
    }
    large = reached[reached.edges >= reached.edges.max() / 10]
    losses = {h: mean_interval(p.gat - p.dynamo) for h, p in large.groupby("homophily")}
    best = min(losses, key=lambda h: losses[h].upper)
    slopes = [slope(p) for _, p in reached.groupby("homophily")]
    refuted = [ends[KEPT][0] > LIMIT, ends["memory"][0] > LIMIT, losses[best].lower > MARGIN]
    held = ", ".join(f"{h:g}" for h, loss in losses.items() if loss.upper <= MARGIN)
    return {
        "decades": float(np.log10(max(edges) / min(edges))),
        "pairs": int(large.groupby("homophily").size().min()),
        "time_upper": ends[ANYWHERE][1],
        "near_upper": ends[NEAR][1],
        "kept_upper": ends[KEPT][1],
        "memory_upper": ends["memory"][1],
        "loss_upper": max(loss.upper for loss in losses.values()),
        "least_upper": losses[best].upper,
        "slope_lower": min(slopes),
        "refuted": int(sum(refuted)),
        "condition": f"accuracy within {MARGIN:g} point of GAT's at homophily: {held or 'none'}; "
        "time judged with neighbours "
        + ("anywhere in memory" if ends[ANYWHERE][1] <= LIMIT else "near in memory and freed memory kept"),
    }


def slope(part: pd.DataFrame, level: float = 0.95) -> float:
    """Points that DYNAMO-GAT's accuracy gains with a decade of edges: the lower end of Student's interval."""
    line = stats.linregress(np.log10(part.edges.to_numpy(float)), part.dynamo.to_numpy(float))
    return float(line.slope - line.stderr * stats.t.ppf((1 + level) / 2, len(part) - 2))


# --- tables for reading ------------------------------------------------------------------------------


def exponent_table(exponents: pd.DataFrame) -> pd.DataFrame:
    """:func:`exponents` for reading."""
    return pd.DataFrame(
        {
            "of": exponents["of"],
            "model": exponents.model.map(NAMES),
            "neighbours": exponents.place,
            "exponent": [i.mean for i in exponents.exponent],
            "95 % interval": [f"{i.lower:.2f} to {i.upper:.2f}" for i in exponents.exponent],
        }
    )


def width_table(times: pd.DataFrame, per_edge: pd.DataFrame) -> pd.DataFrame:
    """One row a width: milliseconds of a layer and of a step, and bytes an edge, of both models."""
    ms = times.pivot(index="width", columns=["phase", "model"], values="median")
    bytes_ = per_edge.pivot(index="width", columns="model", values="per_edge")
    columns = {f"{phase}, {NAMES[m]}, ms": ms[phase, m] for phase in PHASES for m in MODELS}
    columns |= {f"bytes an edge, {NAMES[m]}": bytes_[m].round().astype(int) for m in MODELS}
    return pd.DataFrame(columns).reset_index()


def contrast_table(contrasts: pd.DataFrame) -> pd.DataFrame:
    """:func:`contrasts` for reading."""
    return pd.DataFrame(
        {
            "edges": [f"{E:,}" for E in contrasts.edges],
            "homophily": [f"{h:g}" for h in contrasts.homophily],
            "graphs": contrasts.graphs,
            "difference": contrasts.difference,
            "95 % interval": [
                f"{a:.1f} to {b:.1f}" for a, b in zip(contrasts.lower, contrasts.upper, strict=True)
            ],
            "adj. p": [f"{p:.3f}" for p in contrasts["adj. p"]],
        }
    )
