"""Raw files under real faults: wrong, truncated, missing, hostile, unreachable, fetched by two at once."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from flowprune.graphs import GraphError, download, load
from flowprune.graphs.raw import DataSet, RawFile, cache_root, data_root, find, registry

TEXAS = registry()["texas"]


def put(root: Path, data: DataSet, contents: dict[str, bytes]) -> Path:
    folder = root / data.folder
    folder.mkdir(parents=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


def test_a_wrong_file_is_refused_before_it_is_read(nowhere: Path) -> None:
    first = TEXAS.files[0]
    put(nowhere, TEXAS, {file.name: b"x" * file.bytes for file in TEXAS.files})
    with pytest.raises(GraphError) as error:
        load("texas")
    sentence = str(error.value)
    assert f"{first.name} has a wrong checksum" in sentence
    assert first.sha256[:16] in sentence
    assert "nothing was read from it" in sentence


def test_a_truncated_file_is_refused(nowhere: Path) -> None:
    put(nowhere, TEXAS, {TEXAS.files[0].name: b"node_id\t"})
    with pytest.raises(GraphError, match=r"is truncated, it has 8 of \d+ bytes"):
        load("texas")


def test_a_missing_file_is_named(nowhere: Path) -> None:
    put(nowhere, TEXAS, {TEXAS.files[-1].name: b""})
    with pytest.raises(GraphError, match=rf"{TEXAS.files[0].name} is missing; .* the 12 files"):
        load("texas")


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name", ["texas"])
@pytest.mark.parametrize("fault", ["one byte changed", "last byte lost", "file lost"])
def test_one_fault_among_good_files(name: str, fault: str, tmp_path: Path) -> None:
    data = registry()[name]
    folder = tmp_path / data.folder
    shutil.copytree(find(data), folder)
    assert load(name, tmp_path).n == 183
    file = folder / data.files[5].name
    content = bytearray(file.read_bytes())
    if fault == "file lost":
        file.unlink()
    elif fault == "last byte lost":
        file.write_bytes(content[:-1])
    else:
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elsewhere = tmp_path / "moved"  # a graph is read once a process from one folder
    shutil.copytree(folder, elsewhere / data.folder)
    with pytest.raises(GraphError, match=file.name):
        load(name, elsewhere)


class Trap:
    """Unpickling it creates a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return (open, (str(self.file), "w"))


def test_a_hostile_pickle_is_never_opened(nowhere: Path, tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    cora = registry()["cora"]
    hostile = pickle.dumps(Trap(sprung))
    put(nowhere, cora, {file.name: hostile.ljust(file.bytes, b".") for file in cora.files})
    with pytest.raises(GraphError, match="wrong checksum"):
        load("cora")
    assert not sprung.exists()
    pickle.loads(hostile).close()
    assert sprung.exists()  # the trap works: only the check kept it shut


@pytest.mark.usefixtures("needs_data")
@pytest.mark.parametrize("name", ["texas"])
def test_a_read_only_data_folder_stays_as_it_is(name: str, tmp_path: Path) -> None:
    data = registry()[name]
    folder = tmp_path / data.folder
    shutil.copytree(find(data), folder)
    for path in (*folder.parents, folder):
        if tmp_path in path.parents:
            path.chmod(0o555)
    before = sorted(path for path in tmp_path.rglob("*"))
    assert load(name, tmp_path).num_edges == 279
    assert sorted(path for path in tmp_path.rglob("*")) == before
    for path in (folder, *folder.parents):
        if tmp_path in path.parents:
            path.chmod(0o755)


def test_roots(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FLOWPRUNE_DATA", raising=False)
    assert data_root() == cache_root() == tmp_path / "flowprune"
    monkeypatch.setenv("FLOWPRUNE_DATA", "elsewhere")
    assert data_root() == Path("elsewhere")


# ---- downloads


def test_without_a_network_one_sentence_says_what_to_do(nowhere: Path) -> None:
    dead = "http://127.0.0.1:9"
    env = {**os.environ, "https_proxy": dead, "HTTPS_PROXY": dead, "no_proxy": "", "NO_PROXY": ""}
    code = (
        "from flowprune.graphs import load, GraphError\ntry: load('texas')\nexcept GraphError as e: print(e)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    sentence = done.stdout.strip()
    assert "\n" not in sentence
    assert sentence.startswith(f"texas: no data under {nowhere}, and https://raw.githubusercontent.com/")
    assert "cannot be reached" in sentence
    assert f"set FLOWPRUNE_DATA to a folder that holds {TEXAS.folder}" in sentence


FILES = {"a.txt": b"first", "b.txt": b"second" * 1000}


class Server(ThreadingHTTPServer):
    asked: list[str]


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, form: str, *args: object) -> None:
        self.server.asked.append(self.path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A local web server for the files of the data set "tiny"."""
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    with Server(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path))) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tiny(server: Server) -> DataSet:
    files = tuple(
        RawFile(
            name,
            hashlib.sha256(content).hexdigest(),
            len(content),
            f"http://127.0.0.1:{server.server_port}/{name}",
        )
        for name, content in FILES.items()
    )
    return DataSet("tiny", "Two small files", "npz", {}, "tiny/raw", {"geom-gcn": ""}, files)


def test_a_download_fetches_each_file_once(
    server: Server, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry(), "tiny", tiny(server))
    folder = download("tiny")
    assert folder == cache_root() / "tiny/raw"
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    assert download("tiny") == folder
    assert len(server.asked) == len(FILES)


def test_a_file_that_arrives_wrong_is_not_kept(
    server: Server, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry(), "tiny", tiny(server))
    (tmp_path / "b.txt").write_bytes(b"third!" * 1000)
    with pytest.raises(GraphError, match=r"tiny: http://127.*/b.txt has a wrong checksum"):
        download("tiny")
    assert [file.name for file in (cache_root() / "tiny/raw").iterdir()] == ["a.txt"]
    (tmp_path / "b.txt").write_bytes(FILES["b.txt"])
    assert {file.name for file in download("tiny").iterdir()} == set(FILES)


def test_a_lost_file_on_the_server_is_named(
    server: Server, nowhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry(), "tiny", tiny(server))
    (tmp_path / "a.txt").unlink()
    with pytest.raises(GraphError, match=r"a.txt cannot be reached \(.*File not found"):
        download("tiny")


def test_two_processes_may_download_at_once(server: Server, nowhere: Path) -> None:
    code = (
        f"from flowprune.graphs.raw import *; registry()['tiny'] = {tiny(server)!r}; print(download('tiny'))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen([sys.executable, "-c", code], **pipes) for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.strip() == str(cache_root() / "tiny/raw")
    assert len(server.asked) == len(FILES)


def test_only_known_data_sets_can_be_downloaded() -> None:
    with pytest.raises(GraphError, match="'karate' cannot be downloaded; allowed are cora"):
        download("karate")
