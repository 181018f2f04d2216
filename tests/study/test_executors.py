from __future__ import annotations

import gc
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from distributed import LocalCluster
from sampled import Walk

from flowprune.study import Store, StoreWarning, collect
from flowprune.study.executors import ExecutorError

# distributed leaves sockets of clusters that are gone to the garbage collector
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
FAULTS = {1: "nan", 4: "raise"}
TRIALS = [Walk(seed=s, replicas="r" if s < 4 else "", fault=FAULTS.get(s, "")) for s in range(7)]


@pytest.fixture(autouse=True)
def collected_garbage() -> Iterator[None]:
    yield
    gc.collect()  # here, where its warnings are expected


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    """A cluster that is already there, to attach to."""
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=":0") as cluster:
        yield cluster.scheduler_address.replace("tcp://", "dask://")


@pytest.fixture(params=["process", "dask", "dask://"])
def executor(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("scheduler") if request.param == "dask://" else request.param


def test_every_executor_gives_the_same_table(home: Path, executor: str) -> None:
    threads = torch.get_num_threads()
    tables = []
    for name in ("local", executor):
        with pytest.warns(StoreWarning, match="2 of 7 trials failed"):
            tables.append(
                collect(TRIALS, executor=name, jobs=2, store=Store(home / f"{len(name)}.sqlite", None))
            )
    columns = [name for name in tables[0].columns if name != "seconds"]
    assert tables[0][columns].equals(tables[1][columns])
    assert set(tables[1].torch_threads.dropna()) == {Walk.threads}
    assert torch.get_num_threads() == threads


def test_the_environment_names_the_default(
    home: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    monkeypatch.setenv("FLOWPRUNE_EXECUTOR", "nowhere")
    with pytest.raises(ExecutorError, match="'nowhere' is unknown"):
        collect([Walk(seed=1)])
    monkeypatch.setenv("FLOWPRUNE_EXECUTOR", scheduler)
    assert collect([Walk(seed=1)]).status.tolist() == ["done"]


def test_a_dask_worker_that_dies_is_one_failed_trial(home: Path) -> None:
    trials = [Walk(seed=seed, fault="die" if seed == 1 else "") for seed in range(3)]
    with pytest.warns(StoreWarning, match="1 of 3 trials failed"):
        table = collect(trials, executor="dask", jobs=2)
    assert table.status.tolist() == ["done", "failed", "done"]


def test_no_scheduler_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowprune.study.executors.PATIENCE", 1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(ExecutorError, match=f"No Dask scheduler answers at {address}"):
        collect([Walk(seed=1)], executor=f"dask://{address}")
