"""A notebook's parameters: read from its tagged cell, and checked before a kernel starts.

A notebook has one code cell tagged ``parameters``: one assignment of a plain value a line, each with a
comment that says what it is. Papermill only warns about a name it does not know and guesses types, so both
are checked here.
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import yaml

Value = bool | int | float | str | list


class NotebookError(ValueError):
    """A notebook, its parameters or its run is wrong; the sentence says what, where and what is allowed."""


@dataclass(frozen=True)
class Parameter:
    """One line of a notebook's ``parameters`` cell."""

    name: str
    default: Value
    comment: str

    @property
    def type(self) -> str:
        """``bool``, ``int``, ``float``, ``str``, or ``list of`` one of these."""
        if isinstance(self.default, list):
            return f"list of {type(self.default[0]).__name__}"
        return type(self.default).__name__

    def read(self, text: str) -> Value:
        """Read a value as written on the command line; a list is written with commas.

        >>> Parameter("depths", [2, 4], "numbers of layers").read("8,16")
        [8, 16]
        >>> Parameter("residual", True, "add the state to the update").read("yes")
        Traceback (most recent call last):
        flowprune.study.parameters.NotebookError: parameter residual must be bool ...; got 'yes'
        """
        if isinstance(self.default, list):
            items = [item.strip() for item in text.strip("[]").split(",") if item.strip()]
            return self.check([_scalar(item, type(self.default[0])) for item in items])
        return self.check(_scalar(text, type(self.default)))

    def check(self, value: Any) -> Value:
        """Return the value if it has the default's type (an int may stand for a float), else raise."""
        many = isinstance(self.default, list)
        kind = type(self.default[0] if many else self.default)
        items = value if isinstance(value, list) else [value]
        right = all(type(item) is kind or (kind is float and type(item) is int) for item in items)
        if not right or not items or isinstance(value, list) != many:
            hint = {bool: " (true or false)", float: " (a number)", int: " (a whole number)"}.get(kind, "")
            raise NotebookError(
                f"parameter {self.name} must be {self.type}{hint}, as its default {self.default!r}; "
                f"got {value!r}"
            )
        return [kind(item) for item in items] if many else kind(value)


def _scalar(text: str, kind: type) -> Any:
    """Read one scalar; a text that cannot be read comes back as it is, for the check to refuse."""
    if kind is bool:
        return {"true": True, "false": False}.get(text.lower(), text)
    try:
        return kind(text)
    except ValueError:
        return text


def parameters(path: Path) -> list[Parameter]:
    """The parameters of a notebook, in order.

    Raises:
        NotebookError: when the file cannot be read, has no cell tagged ``parameters``, or a line of that cell
        is not
            ``name = value  # comment`` with a bool, int, float, text or non-empty list of one of these.
    """
    try:
        cells = nbformat.read(path, as_version=4).cells
    except (OSError, ValueError) as error:
        raise NotebookError(f"{path}: not a readable notebook ({str(error).splitlines()[0]})") from error
    tagged = [c for c in cells if c.cell_type == "code" and "parameters" in c.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise NotebookError(f"{path.name}: {len(tagged)} cells are tagged 'parameters'; exactly one must be")
    try:
        statements, comments = ast.parse(tagged[0].source).body, _comments(tagged[0].source)
    except SyntaxError as error:
        raise NotebookError(f"{path.name}: the parameters cell is not valid Python ({error.msg})") from error
    return [_parameter(statement, comments, path.name) for statement in statements]


def _comments(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {t.start[0]: t.string.lstrip("# ").strip() for t in tokens if t.type == tokenize.COMMENT}


def _parameter(statement: ast.stmt, comments: Mapping[int, str], where: str) -> Parameter:
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=expression) if statement.end_lineno in comments:
            default = _literal(expression)
            items = default if isinstance(default, list) else [default]
            if {type(item) for item in items} in ({bool}, {int}, {float}, {str}):
                return Parameter(name, default, comments[statement.end_lineno])
    raise NotebookError(
        f"{where}: {ast.unparse(statement)!r} in the parameters cell is not 'name = value  # comment' "
        "with a bool, int, float, text or a list of one of these"
    )


def _literal(expression: ast.expr) -> Any:
    try:
        return ast.literal_eval(expression)
    except ValueError:
        return None


def settings(
    path: Path, texts: Mapping[str, str] | None = None, file: Path | None = None, profile: str = "quick"
) -> dict[str, Value]:
    """The values to inject: those of the profile, then those of the YAML file, then the texts ``name=value``.

    The quick profile is the notebook's own defaults; the full one is read from
    ``notebooks/profiles/NAME.yaml``.

    Raises:
        NotebookError: for an unknown profile, file or name (naming the nearest) and for a value of a wrong
        type.
    """
    if profile not in ("quick", "full"):
        raise NotebookError(f"unknown profile {profile!r}; it is quick or full")
    known = {p.name: p for p in parameters(path)}
    files = [path.parent / "profiles" / f"{path.stem}.yaml"] if profile == "full" else []
    values: dict[str, Value] = {}
    for source in files + ([file] if file else []):
        for name, value in _yaml(source).items():
            values[name] = lookup(str(name), known, f"parameter of {path.stem}").check(value)
    for name, text in (texts or {}).items():
        values[name] = lookup(name, known, f"parameter of {path.stem}").read(text)
    return values


def _yaml(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text())
    except OSError as error:
        raise NotebookError(f"{file}: no such parameter file") from error
    except yaml.YAMLError as error:
        raise NotebookError(f"{file}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(content, dict):
        raise NotebookError(f"{file}: a parameter file has one 'name: value' a line")
    return content


def lookup(name: str, known: Mapping[str, Any], what: str) -> Any:
    """The entry of this name, or a NotebookError that names the nearest and lists the known ones."""
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    raise NotebookError(f"unknown {what}: {name!r}{hint} Known: {', '.join(known) or 'none'}")
