"""The published trials of the whole study, by the file that holds them: ``data/trials/<name>.jsonl``."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flowprune.experiments import (
    attention,
    between,
    choice_study,
    cost,
    decay,
    deepest,
    density,
    depth_study,
    designed_study,
    flow_speed,
    growth_study,
    kernel_speed,
    kernels_study,
    logic_speed,
    logic_study,
    masks_study,
    mixed,
    pruned_training_study,
    rule_study,
    scaling,
    subsets,
    table,
    transformer,
    waves,
)
from flowprune.experiments.depth import depths
from flowprune.experiments.grids import (
    LABELS,
    chosen,
    homophily,
    published,
    search,
    short_steps,
    speed,
    syn_cora,
)
from flowprune.study.specs import Trial
from flowprune.study.trials import collect

REAL = ("texas", "wisconsin", "cornell-texas-features", "cornell-corrected", "cora")
LEVELS = tuple(round(0.1 * h, 1) for h in range(11))
SYN_CORA = (*LEVELS[:10], 0.99, 1.0)  # the levels of the published graphs
FINE = (0.0, 0.9, 1.0)  # where neg-prod also takes short steps


def study() -> dict[str, Callable[[], list[Trial]]]:
    """The published trials of the whole study by the file that holds them: ``data/trials/<name>.jsonl``."""
    models = ("graff", "gcn", "mlp")
    return {
        "nodes-published": lambda: [t for d in REAL for m in LABELS for t in published(d, m)],
        "nodes-search": lambda: [t for d in REAL for m in models for t in search(d, m)],
        "nodes-chosen": lambda: [t for d in REAL for m in models for t in chosen(collect(search(d, m)))],
        "evolution-homophily": lambda: [t for cell in homophily(LEVELS).values() for t in cell],
        "evolution-syn-cora": lambda: [t for cell in syn_cora(SYN_CORA).values() for t in cell],
        "evolution-steps": lambda: [t for cell in short_steps(FINE, graphs=1).values() for t in cell],
        "evolution-real": lambda: [t for cell in between.grid().values() for t in cell],
        "table-search": lambda: [t for part in table.searches().values() for t in part],
        "table-finals": lambda: _new(t for part in _finals().values() for t in part),
        "table-explained": lambda: _new(
            t for d in table.EXPLAINED for part in table.explanations(d).values() for t in part
        ),
        "table-resplit": lambda: [t for part in table.resplit(_finals()).values() for t in part],
        "depth": lambda: depths("cora"),
        "deep": _deep,
        "deepest": deepest.study,
        "rule": rule_study.study,
        "density": density.study,
        "transformer": transformer.study,
        "growth": growth_study.study,
        "growth-accuracy": growth_study.accuracy_study,
        "logic": logic_study.study,
        "logic-larger": logic_study.larger,
        "logic-speed": logic_speed.study,
        "choice": choice_study.study,
        "pruned-training": pruned_training_study.study,
        "pruned-training-wide": pruned_training_study.wide,
        "masks": masks_study.study,
        "masks-deeper": masks_study.deeper,
        "kernels": kernels_study.study,
        "kernel-speed": kernel_speed.study,
        "designed": designed_study.study,
        "paths": designed_study.paths,
        "waves": waves.study,
        "attention": lambda: [*attention.maps(), *decay.deep()],
        "nodes-mixed": _mixed,
        "subsets": lambda: [t for part in subsets.grid().values() for t in part],
        "flow-speed": flow_speed.study,
        "speed": lambda: [t for d in ("cora", "karate") for t in speed(d)],
        "cost": lambda: [*cost.grid("cora"), *scaling.by_edges(), *scaling.by_nodes()],
    }


def _finals() -> dict[tuple[str, str], list[Trial]]:
    return table.finals(collect([t for part in table.searches().values() for t in part]))


def _new(trials: Iterable[Trial]) -> list[Trial]:
    """These trials without those that ``nodes-published`` holds."""
    held = {t.key for d in REAL for m in LABELS for t in published(d, m)}
    return [t for t in trials if t.key not in held]


def _deep() -> list[Trial]:
    """Without those that ``rule`` holds: the whole rule at the depths of its chapter."""
    held = {t.key for t in rule_study.study()}
    return [t for t in depth_study.study() if t.key not in held]


def _mixed() -> list[Trial]:
    """Each once (a perceptron has no steps), without the constant W on real graphs, which ``nodes-published`` holds."""
    asked = [mixed.grid(), *(mixed.real(d) for d in mixed.REAL)]
    trials = {t.key: t for cells in asked for part in cells.values() for t in part}
    return [t for t in trials.values() if t.dataset not in mixed.REAL or t.model == "graff-local"]
