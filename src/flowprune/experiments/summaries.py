"""From trials to what a chapter shows: accuracies in points (per cent), intervals, paired comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from flowprune.experiments.nodes import NodeTrial, reported
from flowprune.study.stats import Comparison, Interval, holm, mean_interval, paired, resampled

Test = Callable[[pd.Series, pd.Series], Comparison]


def points(trials: Sequence[NodeTrial], table: pd.DataFrame) -> pd.DataFrame:
    """Dataset, split, seed, test and training accuracy in points of these trials; failed ones are left out.

    Trials whose metric is the area under the ROC curve have that in the place of test accuracy.

    Raises ValueError, with the first trial's own error, when all of them failed.
    """
    asked = table[table.key.isin([t.key for t in trials])].drop_duplicates("key")
    rows = asked[asked.status == "done"]
    if rows.empty:
        raise ValueError(
            f"all {len(asked)} trials of {trials[0].dataset} failed; the first: {asked.error.iloc[0]}"
        )
    columns = rows[["dataset", "split", "seed"]]
    tested = rows[f"test_{trials[0].metric}"]
    return columns.assign(accuracy=100 * tested, train=100 * rows.train_accuracy)


def by_split(rows: pd.DataFrame) -> pd.Series:
    """Accuracy of each split of each graph, averaged over seeds: the sample that intervals and tests are drawn from."""
    return rows.groupby(["dataset", "split"]).accuracy.mean()


def interval(rows: pd.DataFrame) -> Interval:
    """Mean accuracy with its 95 % bootstrap interval over splits."""
    return mean_interval(by_split(rows))


def matched(a: pd.Series, b: pd.Series, test: Test = paired) -> Comparison:
    """a minus b, paired by their index; what only one of them has is left out."""
    pairs = pd.concat([a, b], axis=1, join="inner")
    return test(pairs.iloc[:, 0], pairs.iloc[:, 1])


def cautious(a: pd.Series, b: pd.Series) -> Comparison:
    """The corrected resampled t-test with the sizes of the splits: pairs whose training nodes overlap tell less."""
    return resampled(a, b, train=0.48, test=0.2)


def versus(a: pd.DataFrame, b: pd.DataFrame) -> Comparison:
    """Accuracy of a minus b, paired by graph and split."""
    return matched(by_split(a), by_split(b))


def comparison_table(compared: Mapping[str, Comparison]) -> pd.DataFrame:
    """Differences in points with interval, Holm-adjusted p and effect size d, for reading."""
    p = holm([c.p for c in compared.values()])
    return pd.DataFrame(
        {
            "comparison": list(compared),
            "difference": [c.mean for c in compared.values()],
            "95 % interval": [f"{c.lower:.1f} to {c.upper:.1f}" for c in compared.values()],
            "adj. p": ["<0.0001" if x < 5e-5 else f"{x:.4f}" for x in p],
            "effect d": [c.effect for c in compared.values()],
            "pairs": [c.n for c in compared.values()],
        }
    )


def beside_reported(
    measured: Mapping[tuple[str, str], pd.DataFrame], model: Mapping[str, str]
) -> pd.DataFrame:
    """Measured rows ``(dataset, what)`` and the reported accuracy of each data set's model, for drawing and reading.

    Columns: dataset, what, mean, low, high (95 % interval; for "reported" one standard deviation), std, runs.
    ``model`` names, by data set, the reported model to stand beside; without a reported accuracy there is no row.
    """
    rows = []
    for (dataset, what), part in measured.items():
        i = interval(part)
        spread = part.accuracy.std()
        rows.append([dataset, what, i.mean, i.lower, i.upper, spread, len(part)])
    for dataset, name in model.items():
        if not has_report(name, dataset):
            continue
        mean, std = reported(name, dataset)
        rows.append([dataset, "reported", mean, mean - std, mean + std, std, 10])
    return pd.DataFrame(rows, columns=["dataset", "what", "mean", "low", "high", "std", "runs"])


def search_table(
    before: Mapping[tuple[str, str], pd.DataFrame],
    after: Mapping[tuple[str, str], pd.DataFrame],
    names: Mapping[str, str],
) -> pd.DataFrame:
    """What a search added, by (dataset, model): accuracy before and after, and the gain paired by split."""
    lines = []
    for (dataset, model), part in after.items():
        found, gain = interval(part), versus(part, before[dataset, model])
        lines.append(
            {
                "data set": dataset,
                "model": names[model],
                "GRAFF's settings": interval(before[dataset, model]).mean,
                "searched": found.mean,
                "95 % interval": f"{found.lower:.1f} to {found.upper:.1f}",
                "gain": gain.mean,
                "p": f"{gain.p:.3f}",
            }
        )
    return pd.DataFrame(lines)


def in_words(rows: pd.DataFrame) -> str:
    """The means of :func:`beside_reported` as a sentence, for a figure's alternative text."""
    means = (f"{r.dataset}, {r.what} {r['mean']:.1f} per cent" for _, r in rows.iterrows())
    return f"Test accuracy by data set: {'; '.join(means)}."


def in_the_paper(trial: NodeTrial) -> str:
    """The name under which the paper's table reports this GRAFF."""
    return "GRAFF (DD)" if trial.structure == "dd" else "GRAFF (D)"


def has_report(model: str, dataset: str) -> bool:
    """Whether the source printed an accuracy of this model on this data set."""
    try:
        reported(model, dataset)
    except ValueError:
        return False
    return True


def answers(rows: pd.DataFrame, what: str) -> pd.DataFrame:
    """One line a data set with a reported accuracy: what was measured, what was reported, and the answer in words.

    "reached": the reported mean lies in our 95 % interval, or below it. "close": short of it by no more than one
    reported standard deviation. "short": by more.
    """
    lines = []
    for dataset, told in rows[rows.what == "reported"].set_index("dataset").iterrows():
        ours = rows[(rows.dataset == dataset) & (rows.what == what)].iloc[0]
        short = told["mean"] - ours["mean"]
        answer = "reached" if told["mean"] <= ours.high else "close" if short <= told["std"] else "short"
        lines.append(
            {
                "data set": dataset,
                "measured": f"{ours['mean']:.2f} ± {ours['std']:.2f}",
                "95 % interval": f"{ours.low:.2f} to {ours.high:.2f}",
                "runs": int(ours.runs),
                "reported": f"{told['mean']:.2f} ± {told['std']:.2f}",
                "difference": -short,
                "answer": answer,
            }
        )
    return pd.DataFrame(lines)


def by_seed(measured: Mapping[str, pd.DataFrame]) -> str:
    """The lowest and the highest mean over splits that a seed gave, by data set, as a line of text."""
    lines = []
    for dataset, rows in measured.items():
        means = rows.groupby("seed").accuracy.mean()
        lines.append(f"{dataset}: {means.min():.1f} to {means.max():.1f} over {len(means)} seeds")
    return "Means over splits by seed. " + "; ".join(lines)
