"""The doors of the study: ``flowprune list | run | book | publish | verify | claims | data | cite``."""

from __future__ import annotations

import errno
import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from flowprune.study import notebooks, project

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None, help=__doc__)
out = Console(highlight=False)
err = Console(highlight=False, stderr=True, soft_wrap=True)

Profile = StrEnum("Profile", ["quick", "full"])


def main() -> None:
    """Run the command line. An error of the project or of the system, as a full disk or a folder without permission,
    is one sentence and exit code 1; no other is caught.
    """
    try:
        app()
    except Exception as error:
        if not (isinstance(error, OSError) or type(error).__module__.startswith("flowprune.")):
            raise
        full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        remedy = "; make room and run again, trials that are stored are not computed again" if full else ""
        err.print(f"[red]flowprune:[/red] {escape(str(error))}{remedy}")
        sys.exit(1)


@app.command("list")
def list_() -> None:
    """The notebooks: their question and their parameters with types and defaults."""
    for name, path in notebooks.notebooks().items():
        table = Table("parameter", "type", "default", "", title_justify="left", box=None, padding=(0, 2))
        for p in notebooks.parameters(path):
            table.add_row(p.name, p.type, escape(repr(p.default)), escape(p.comment))
        out.print(f"\n[bold]{name}[/bold]  {escape(notebooks.question(path))}")
        out.print(table)


@app.command()
def run(
    notebook: str,
    p: Annotated[list[str], typer.Option("-p", help="name=value, lists with commas; -p for each name")] = [],  # noqa: B006
    params: Annotated[Path | None, typer.Option(help="YAML file of parameters")] = None,
    profile: Annotated[
        Profile, typer.Option(help="the notebook's defaults, or its full profile")
    ] = Profile.quick,
    executor: Annotated[str, typer.Option(help="local, process, dask or dask://HOST:PORT")] = "local",
) -> None:
    """Execute a notebook with these parameters; the executed copy lies in book/executed/."""
    path = notebooks.find(notebook)
    values = notebooks.settings(path, _pairs(p), params, profile)
    own = values != notebooks.for_book(path)  # evidence of a reader's own settings is not the book's evidence
    evidence = project.state() / "evidence" if own else None
    with _bars(path.stem) as (on_cell, file):
        env = {"FLOWPRUNE_EXECUTOR": executor, "FLOWPRUNE_PROGRESS": str(file)}
        copy = notebooks.execute(path, values, on_cell=on_cell, env=env, evidence=evidence)
    out.print(f"Executed: {copy}", soft_wrap=True)


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = map(str.strip, text.partition("="))
        if not equals:
            raise notebooks.NotebookError(f"-p {text!r} is not name=value")
        if name in pairs:
            raise notebooks.NotebookError(f"-p {name} is given twice; a list has commas, -p {name}=2,4")
        pairs[name] = value
    return pairs


@contextmanager
def _bars(name: str) -> Iterator[tuple[object, Path]]:
    """Two progress bars: over cells, through the callback, and over trials, through events in the file."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with TemporaryDirectory() as folder, Progress(*columns, console=err) as bars:
        file, stop = Path(folder) / "progress.jsonl", threading.Event()
        cells = bars.add_task(f"{name}: cells", total=None)
        trials = bars.add_task("trials", total=None, visible=False)

        def follow() -> None:
            ended = False
            while not ended:
                ended = stop.wait(0.2)  # one more look after the end
                lines = file.read_text().splitlines() if file.is_file() else []
                if lines and lines[-1].endswith("}"):
                    event = json.loads(lines[-1])
                    label = f"trials of {event.get('name', name)}"
                    bars.update(
                        trials, completed=event["done"], total=event["total"], description=label, visible=True
                    )

        watcher = threading.Thread(target=follow, daemon=True)
        watcher.start()
        try:
            yield lambda done, total: bars.update(cells, completed=done, total=total), file
        finally:
            stop.set()
            watcher.join()


@app.command()
def book(
    clean: Annotated[
        bool, typer.Option("--clean", help="build the pages from nothing, as for a release")
    ] = False,
) -> None:
    """Execute what changed, build the book and check it."""
    from flowprune.study import book as builder

    for name, ran in notebooks.execute_all():
        out.print(f"{name}: {'executed' if ran else 'up to date'}")
    front = builder.build(clean)
    out.print(f"The book is built. Open {front.as_uri()} or run `make serve`.", soft_wrap=True)


@app.command()
def publish(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="NAME...", help="files of data/trials; by default all of them"),
    ] = None,
) -> None:
    """Compute what is missing of the study's trials and write data/trials/NAME.jsonl; exit code 1 if any failed."""
    from flowprune import study
    from flowprune.experiments import published
    from flowprune.study.parameters import lookup

    known = published.study()
    failures = 0
    for name, grid in [(name, lookup(name, known, "set of trials")) for name in names or known]:
        trials = grid()
        rows = study.collect(trials, retry=True)
        file = study.Store.open().publish(
            (t for t, s in zip(trials, rows.status, strict=True) if s == "done"), name
        )
        out.print(f"{file}: {(rows.status == 'done').sum()} of {len(rows)} trials", soft_wrap=True)
        for row in rows[rows.status == "failed"].itertuples():
            err.print(f"[red]failed:[/red] {row.key} of {name}: {escape(row.error)}")
            failures += 1
    if failures:
        raise typer.Exit(1)


@app.command()
def verify(
    sample: Annotated[int, typer.Option(min=1, help="how many published trials to draw")] = 5,
    budget: Annotated[float, typer.Option(min=0, help="minutes to spend at most")] = 5.0,
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
) -> None:
    """Recompute random published trials and compare; exit code 1 unless some agree and none differs."""
    import flowprune.experiments  # noqa: F401  (its trials become known)
    from flowprune import study

    answers = study.verify(sample, budget, seed)
    table = Table(
        "trial", "experiment", "status", "field", "published", "recomputed", "tolerance", "reason", box=None
    )
    for row in answers[answers.status != "skipped"].itertuples(index=False):
        cells = (
            row.key,
            row.experiment,
            row.status,
            row.field,
            row.published,
            row.recomputed,
            row.tolerance,
            row.reason,
        )
        table.add_row(*("" if _absent(cell) else escape(str(cell)) for cell in cells))
    out.print(table)
    for reason, skipped in answers[answers.status == "skipped"].groupby("reason"):
        out.print(f"{len(skipped)} skipped: {escape(reason)}", soft_wrap=True)
    if not study.passed(answers):
        err.print(
            "[red]flowprune:[/red] verification failed: a trial differs or failed, or none could be compared"
        )
        raise typer.Exit(1)


def _absent(cell: object) -> bool:
    return cell is None or cell != cell  # pandas writes a missing value as NaN


@app.command()
def claims(
    as_json: Annotated[bool, typer.Option("--json", help="for machines")] = False,
    accept: Annotated[str, typer.Option(help="claim whose fresh verdict is accepted")] = "",
    because: Annotated[str, typer.Option(help="one sentence that explains it")] = "",
) -> None:
    """The ledger; exit code 1 when a verdict changed and nobody explained it."""
    from flowprune.study import claims as ledger

    if accept:
        ledger.accept(accept, because)
    found = ledger.table()
    if as_json:
        rows = found[["id", "kind", "verdict", "evidence", "chapter", "statement"]]
        print(json.dumps(rows.to_dict("records"), ensure_ascii=False, indent=1))
    else:
        table = Table("claim", "kind", "verdict", "evidence", "chapter", "statement", box=None)
        for row in found.itertuples():
            chapter = "" if _absent(row.chapter) else row.chapter
            table.add_row(
                row.id, row.kind, row.verdict, ledger.words(row.evidence), chapter, escape(row.statement)
            )
        out.print(table)
    for change in (changes := ledger.check()):
        err.print(f"[red]unexplained:[/red] {escape(str(change))}")
    if changes:
        raise typer.Exit(1)


@app.command()
def data(
    record: Annotated[
        bool, typer.Option("--record", help="measure what is found, for the book's data page")
    ] = False,
) -> None:
    """Which data sets are embedded, found, downloadable or generated; checksums of those found."""
    from flowprune.graphs import datasets

    entries = datasets.catalogue()
    table = Table("data set", "state", "checksum", "where", "about", box=None)
    for e in entries:
        table.add_row(e.name, e.state, escape(e.checksum), escape(e.where), escape(e.about))
    out.print(table)
    if record:
        from flowprune.graphs import record as measured

        out.print(f"Recorded: {measured.write(project.root() / 'data' / 'datasets.json')}")
    if wrong := [e.name for e in entries if e.state == "found" and e.checksum != "correct"]:
        err.print(f"[red]flowprune:[/red] wrong checksum: {', '.join(wrong)}")
        raise typer.Exit(1)


@app.command()
def cite() -> None:
    """How to cite the study."""
    from flowprune.study import citation

    print(citation.bibtex())


if __name__ == "__main__":
    main()
