"""Raw files of the real data sets: where they are, whether they are the right ones, how they are fetched.

``registry.json`` lists every raw file with its SHA-256, its size and its address. A file is read once: the
bytes that were checked are the bytes that are parsed. Some of the files are pickles, which run code when they
are opened, so nothing is parsed, unpickled or kept before it was checked.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPException
from importlib.resources import files
from pathlib import Path
from urllib.request import urlopen

from filelock import FileLock

from .checks import GraphError

TIMEOUT = 30  # seconds without an answer before a download is given up


@dataclass(frozen=True)
class RawFile:
    """One raw file: its name, checksum, size in bytes and address."""

    name: str
    sha256: str
    bytes: int
    url: str


@dataclass(frozen=True)
class DataSet:
    """One real data set of the registry: what it is, which loader reads it, its splits and its raw files."""

    name: str
    about: str
    loader: str
    arguments: dict[str, str]
    folder: str
    splits: dict[str, str]
    files: tuple[RawFile, ...]


@cache
def registry() -> dict[str, DataSet]:
    """All real data sets by name."""
    entries = json.loads((files(__package__) / "registry.json").read_text(encoding="utf-8"))
    for entry in entries.values():
        entry["files"] = tuple(
            RawFile(name, **facts, url=f"{source['url']}/{name}")
            for source in entry.pop("sources")
            for name, facts in source["files"].items()
        )
    return {name: DataSet(name, **entry) for name, entry in entries.items()}


def cache_root() -> Path:
    """The user's cache folder: ``$XDG_CACHE_HOME/flowprune``, by default ``~/.cache/flowprune``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "flowprune"


def data_root() -> Path:
    """Where raw files are looked for first: ``$FLOWPRUNE_DATA`` if set, else the user's cache folder."""
    given = os.environ.get("FLOWPRUNE_DATA")
    return Path(given) if given else cache_root()


def find(data: DataSet, root: Path | None = None) -> Path | None:
    """The folder with files of ``data`` under ``root`` (default ``data_root()``) or in the cache, or None."""
    for place in (Path(root) if root else data_root(), cache_root()):
        folder = place / data.folder
        if any((folder / file.name).exists() for file in data.files):
            return folder
    return None


def read(data: DataSet, file: RawFile, folder: Path) -> bytes:
    """The bytes of a raw file, checked.

    Raises:
        GraphError: if the file is missing, truncated or not the one of the registry.
    """
    path = folder / file.name
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise GraphError(
            f"{data.name}: file {path} is missing; the folder must hold the "
            f"{len(data.files)} files of the data set."
        ) from None
    except OSError as error:
        raise GraphError(f"{data.name}: file {path} cannot be read ({error.strerror}).") from error
    _check(data, file, content, str(path))
    return content


def _check(data: DataSet, file: RawFile, content: bytes, where: str) -> None:
    if len(content) < file.bytes:
        raise GraphError(
            f"{data.name}: {where} is truncated, it has {len(content)} of {file.bytes} bytes; "
            "nothing was read from it."
        )
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise GraphError(
            f"{data.name}: {where} has a wrong checksum, SHA-256 {found[:16]}... where "
            f"{file.sha256[:16]}... is allowed; nothing was read from it."
        )


def download(name: str) -> Path:
    """Fetch the raw files of a data set into the user's cache folder, each checked; return their folder.

    What is there already is not fetched again. Two processes may ask at once: one fetches, the other waits.

    Raises:
        GraphError: if there is no network, or what arrives is not the file of the registry.
    """
    data = registry().get(name)
    if data is None:
        raise GraphError(f"{name!r} cannot be downloaded; allowed are {', '.join(registry())}.")
    folder = cache_root() / data.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(cache_root() / "download.lock"):
        for file in data.files:
            if not (folder / file.name).exists():
                _fetch(data, file, folder)
    return folder


def _fetch(data: DataSet, file: RawFile, folder: Path) -> None:
    try:
        with urlopen(file.url, timeout=TIMEOUT) as response:
            content = response.read()
    except (OSError, HTTPException) as error:
        raise GraphError(
            f"{data.name}: no data under {data_root()}, and {file.url} cannot be reached "
            f"({getattr(error, 'reason', error)}); set FLOWPRUNE_DATA to a folder that holds "
            f"{data.folder}, or connect to the network."
        ) from error
    _check(data, file, content, file.url)
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f".{file.name}.part"
    part.write_bytes(content)
    part.replace(folder / file.name)  # whole or not at all


@contextmanager
def checked(data: DataSet, folder: Path) -> Iterator[Path]:
    """A temporary folder with checked copies of the raw files: loaders write next to what they read."""
    copies = Path(tempfile.mkdtemp(prefix="flowprune-"))
    try:
        for file in data.files:
            (copies / file.name).write_bytes(read(data, file, folder))
        yield copies
    finally:
        shutil.rmtree(copies, ignore_errors=True)
