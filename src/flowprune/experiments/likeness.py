"""Generated graphs beside the published ones that they imitate: what they look like, and what models make of them."""

from __future__ import annotations

import pandas as pd

from flowprune.experiments.sweep import rank_correlation
from flowprune.graphs import Graph


def likeness(graph: Graph) -> dict[str, float]:
    """What generated and published graphs are compared by: nodes, edges, degrees and edge homophily."""
    return {
        "nodes": graph.n,
        "edges": graph.num_edges,
        "median degree": graph.degree.median().item(),
        "largest degree": int(graph.degree.max()),
        "homophily": graph.homophily(),
    }


def beside_published(generated: pd.DataFrame, published: pd.DataFrame) -> pd.DataFrame:
    """One line a variant: accuracy on generated and on published graphs over the levels they share, and how alike.

    ``difference`` is published minus generated, averaged over levels, beside its smallest and largest value there;
    ``rank corr.`` compares the two mean curves, and is missing where one is constant.
    """
    shared = sorted(set(generated.level) & set(published.level))
    lines = []
    for variant in generated.variant.unique():
        means = [
            rows[(rows.variant == variant) & rows.level.isin(shared)].groupby("level").test.mean()
            for rows in (generated, published)
        ]
        gap = means[1] - means[0]
        lines.append(
            {
                "variant": variant,
                "generated": means[0].mean(),
                "published": means[1].mean(),
                "difference": gap.mean(),
                "its range": f"{gap.min():.1f} to {gap.max():.1f}",
                "rank corr.": rank_correlation(pd.concat(means, axis=1)),
            }
        )
    return pd.DataFrame(lines)
