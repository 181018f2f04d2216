"""Where batches run: in this process, in a pool of processes, or on a Dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from typing import TypeVar

PAUSE = 0.2  # seconds until batches that another process holds are asked for again
PATIENCE = 10  # seconds for a scheduler to answer

T, R = TypeVar("T"), TypeVar("R")
Work = Callable[[Sequence[T]], R]
Answer = tuple[Sequence[T], R | Exception]


class ExecutorError(ValueError):
    """The executor is unknown or cannot be reached."""


def run(
    work: Work, batches: Iterator[Sequence[T]], executor: str = "local", jobs: int | None = None
) -> Iterator[Answer]:
    """Apply `work` to every batch; yield each batch with its answer as it comes.

    Batches are asked for one at a time, when there is a free place; an empty one means "ask again a little
    later". executor: ``local`` | ``process`` | ``dask`` | ``dask://HOST:PORT``. jobs: workers of the first
    two kinds of pool, by default as many as there are processors. `work` must be importable by the workers.

    A worker that dies (killed, out of memory) takes its whole pool with it: the batches in flight are run
    again, each item alone, and an item whose worker dies once more is answered with the exception. Raises
    ExecutorError.
    """
    jobs = jobs or os.cpu_count() or 1
    if executor == "local":
        yield from _here(work, batches)
    elif executor == "process":
        yield from _pooled(work, batches, partial(_processes, jobs))
    elif executor == "dask" or executor.startswith("dask://"):
        yield from _pooled(
            work, batches, partial(_dask, executor.removeprefix("dask").removeprefix("://"), jobs)
        )
    else:
        raise ExecutorError(
            f"Executor {executor!r} is unknown; allowed are local, process, dask and dask://HOST:PORT."
        )


def _here(work: Work, batches: Iterator[Sequence[T]]) -> Iterator[Answer]:
    for batch in batches:
        if batch:
            yield batch, work(batch)
        else:
            time.sleep(PAUSE)


Pool = AbstractContextManager[tuple[Executor, int]]  # with its number of places


@contextmanager
def _processes(jobs: int) -> Iterator[tuple[Executor, int]]:
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        try:
            yield pool, jobs
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _dask(address: str, jobs: int) -> Iterator[tuple[Executor, int]]:
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        if address:
            try:
                fresh = Client(f"tcp://{address}", timeout=PATIENCE, set_as_default=False)
                client = stack.enter_context(fresh)
            except (OSError, ValueError) as error:
                raise ExecutorError(f"No Dask scheduler answers at {address} ({error}).") from None
            jobs = sum(client.nthreads().values())
            if not jobs:
                raise ExecutorError(f"The Dask scheduler at {address} has no workers.")
        else:
            stack.enter_context(dask.config.set({"distributed.scheduler.allowed-failures": 0}))
            cluster = LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=":0")
            client = stack.enter_context(Client(stack.enter_context(cluster), set_as_default=False))
        yield stack.enter_context(client.get_executor()), jobs


def _pooled(work: Work, batches: Iterator[Sequence[T]], open_pool: Callable[[], Pool]) -> Iterator[Answer]:
    suspects: deque[list[T]] = (
        deque()
    )  # items that were in flight when a worker died; each is run again alone
    more = True
    while more or suspects:
        with open_pool() as (pool, places):
            running: dict[Future, Sequence[T]] = {}
            alone = broken = False
            while not broken or running:
                if suspects and not running and not broken:
                    alone, batch = True, suspects.popleft()
                    running[pool.submit(work, batch)] = batch
                while more and not (alone or suspects or broken) and len(running) < places:
                    batch = next(batches, None)
                    more = batch is not None
                    if not batch:
                        break
                    running[pool.submit(work, batch)] = batch
                if not running and not more:
                    break
                if not running:
                    time.sleep(PAUSE)
                    continue
                for future in wait(running, PAUSE, FIRST_COMPLETED).done:
                    batch = running.pop(future)
                    answer = _answer(future)
                    if isinstance(answer, Exception) and not alone:
                        suspects += [[item] for item in batch]
                        broken = True
                        continue
                    broken |= isinstance(answer, Exception)
                    alone = False
                    yield batch, answer


def _answer(future: Future) -> object:
    try:
        return future.result()
    except Exception as error:
        return error
