"""The study's notebooks: where they are, what they ask, and how they are executed with papermill.

An executed notebook lies in ``book/executed``. It carries a stamp over everything that it depends on, so that
it is executed again only when something of that has changed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
import papermill
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.exceptions import PapermillExecutionError

from . import project
from .parameters import NotebookError, Parameter, Value, lookup, parameters, settings

__all__ = ["NotebookError", "Parameter", "execute", "execute_all", "find", "parameters", "settings"]

SIDE_BY_SIDE = 2  # notebooks that execute_all runs at the same time


def notebooks() -> dict[str, Path]:
    """The study's notebooks by name (the file's stem), sorted."""
    return {path.stem: path for path in sorted((project.root() / "notebooks").glob("*.ipynb"))}


def find(name: str) -> Path:
    """The notebook of this name; raises NotebookError naming the nearest one."""
    return lookup(name, notebooks(), "notebook")


def question(path: Path) -> str:
    """The notebook's question: its first heading."""
    cells = nbformat.read(path, as_version=4).cells
    story = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    found = re.search(r"^# +(.+)$", story, re.MULTILINE)
    if not found:
        raise NotebookError(f"{path.name}: no heading '# ...' states the question")
    return found[1].strip()


def executed() -> Path:
    """The folder of executed notebooks, ``book/executed``: built, never committed."""
    return project.root() / "book" / "executed"


def stamp(path: Path, values: Mapping[str, Value]) -> str:
    """A hash over all that an executed notebook depends on.

    That is its cells (not their stored outputs), the values injected, the library, the published data and the
    pinned requirements.
    """
    top = project.root()
    cells = nbformat.read(path, as_version=4).cells
    story = [(cell.cell_type, cell.source, sorted(cell.metadata.get("tags", []))) for cell in cells]
    digest = hashlib.sha256(json.dumps([story, dict(values)], sort_keys=True).encode())
    files = [top / "requirements.lock", *(top / "src").rglob("*.py"), *(top / "data").rglob("*")]
    for file in sorted(file for file in files if file.is_file()):
        digest.update(
            str(file.relative_to(top)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest()
        )
    return digest.hexdigest()[:16]


def is_current(path: Path, values: Mapping[str, Value]) -> bool:
    """Whether the executed notebook is there and nothing that it depends on has changed."""
    output = executed() / path.name
    try:
        copy = nbformat.read(output, as_version=4)
    except (FileNotFoundError, ValueError):  # not there, or damaged
        return False
    return copy.metadata.get("flowprune", {}).get("stamp") == stamp(path, values)


def execute(
    path: Path,
    values: Mapping[str, Value] | None = None,
    *,
    on_cell: Callable[[int, int], None] = lambda done, total: None,
    env: Mapping[str, str] | None = None,
    evidence: Path | None = None,
) -> Path:
    """Execute a notebook and return the executed copy, ``book/executed/NAME.ipynb``.

    Copy and evidence are drafts in a folder of this run's own until the last cell has ended. So neither a run
    that fails or is killed nor another one at the same time leaves half of something behind.

    Args:
        path: the notebook.
        values: parameters to inject, checked by :func:`~flowprune.study.parameters.settings`.
        on_cell: called with (code cells done, code cells in all) after each of them.
        env: environment variables for the kernel, beside those of this process.
        evidence: the folder for the evidence that it hands in, by default that of the book.

    Raises:
        NotebookError: naming the cell and the error when a cell fails or the kernel dies. The copy up to that
            cell is kept as ``NAME.failed.ipynb``; an earlier good copy and its evidence stay as they were.
        OSError: when the copy cannot be written, as on a full disk.
    """
    mark = stamp(path, values or {})  # taken before, so that a change made meanwhile is noticed the next time
    output, evidence = executed() / path.name, evidence or executed() / "evidence"
    failed = output.with_suffix(".failed.ipynb")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{path.stem}-", dir=output.parent) as folder:
            draft = Path(folder) / path.name
            kernel = {**os.environ, **(env or {}), "FLOWPRUNE_EVIDENCE": folder}
            _draft(path, dict(values or {}), on_cell, kernel, draft, failed)
            notebook = nbformat.read(draft, as_version=4)
            notebook.metadata["flowprune"] = {"stamp": mark}
            nbformat.write(notebook, draft)
            evidence.mkdir(parents=True, exist_ok=True)
            for file in Path(folder).glob("*.json"):
                shutil.move(file, evidence / file.name)
            draft.replace(output)
    except OSError as error:
        if error.errno and not error.filename:  # the system does not name the file when a write fails
            error.filename = str(output)
        raise
    failed.unlink(missing_ok=True)
    return output


def _draft(
    path: Path,
    values: dict[str, Value],
    on_cell: Callable[[int, int], None],
    env: Mapping[str, str],
    draft: Path,
    failed: Path,
) -> None:
    """Execute into ``draft``; when a cell fails it becomes ``failed``, and the error names the cell."""
    try:
        papermill.execute_notebook(
            path,
            draft,
            values,
            engine_name="flowprune",
            kernel_name="python3",
            progress_bar=False,
            on_cell=on_cell,
            env=env,
        )
    except PapermillExecutionError as error:
        draft.replace(failed)
        line = next((row.strip() for row in error.source.splitlines() if row.strip()), "")
        said = " ".join(error.evalue.split())
        raise NotebookError(
            f"{path.stem} failed in cell {error.cell_index} ({line!r}) with {error.ename}: {said} "
            f"(see {failed})"
        ) from error


def for_book(path: Path) -> dict[str, Value]:
    """The parameters with which the book executes a notebook: its full profile, else its defaults."""
    full = (path.parent / "profiles" / f"{path.stem}.yaml").is_file()
    return settings(path, profile="full" if full else "quick")


def execute_all() -> Iterator[tuple[str, bool]]:
    """Bring every executed notebook up to date, some side by side; yield (name, whether it ran) as they end.

    The cores of the processor are shared among the kernels that run at the same time. One that fails does not
    stop the others.

    Raises:
        NotebookError: in the end, with a line for each notebook that failed.
    """
    threads = str(max(1, (os.cpu_count() or 1) // SIDE_BY_SIDE))
    env = {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "FLOWPRUNE_PROGRESS": os.devnull}

    def update(path: Path) -> tuple[str, bool]:
        values = for_book(path)
        stale = not is_current(path, values)
        if stale:
            execute(path, values, env=env)
        return path.stem, stale

    wrong = []
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        for finished in as_completed([pool.submit(update, path) for path in notebooks().values()]):
            try:
                yield finished.result()
            except NotebookError as error:
                wrong.append(str(error))
    if wrong:
        raise NotebookError("\n".join(wrong))


def refresh(*names: str) -> None:
    """Store the outputs of the quick defaults in the committed notebooks (or these), from trials really computed."""
    for path in map(find, names or notebooks()):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook, kernel_name="python3", resources={"metadata": {"path": path.parent}}
        )
        client.execute(env={**os.environ, "FLOWPRUNE_RECOMPUTE": "1"})
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times, which would differ in every commit
        nbformat.write(notebook, path)


class _Engine(papermill.engines.NBClientEngine):
    """Papermill's own engine, which also reports finished cells and gives each kernel its own environment."""

    @classmethod
    def execute_managed_notebook(cls, nb_man, kernel_name, *, on_cell, env, **_):
        total = sum(cell.cell_type == "code" for cell in nb_man.nb.cells)
        done = itertools.count(1)
        client = PapermillNotebookClient(
            nb_man,
            kernel_name=kernel_name,
            extra_arguments=["--log-level=ERROR"],  # each start of ipykernel warns of its own transport
            timeout=None,
            on_cell_executed=lambda **_: on_cell(next(done), total),
        )
        try:
            client.execute(env=env)
        except DeadKernelError:  # killed, or out of memory: papermill knows only errors that a cell raised
            begun = [i for i, cell in enumerate(nb_man.nb.cells) if cell.metadata.papermill["start_time"]]
            at = max(begun, default=0)
            said = "its kernel was killed, perhaps for want of memory"
            raise PapermillExecutionError(
                at, None, nb_man.nb.cells[at].source, DeadKernelError.__name__, said, []
            ) from None


papermill.engines.papermill_engines.register("flowprune", _Engine)
logging.getLogger("papermill").setLevel(
    logging.ERROR
)  # it warns of values that hold a "=", as names of graphs do
