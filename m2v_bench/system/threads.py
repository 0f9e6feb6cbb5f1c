"""Limit and count threads."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController


def thread_variables(threads: int) -> dict[str, str]:
    """Return environment variables that make the tokenizers package use this many threads.

    It reads `RAYON_NUM_THREADS` once, when it first uses several threads in a process.
    """
    return {"TOKENIZERS_PARALLELISM": "false" if threads == 1 else "true", "RAYON_NUM_THREADS": str(threads)}


@contextmanager
def limit_threads(threads: int) -> Iterator[None]:
    """Let torch, BLAS, OpenMP, the tokenizers package and our loops use this many threads."""
    import torch
    from threadpoolctl import threadpool_limits

    before, variables = torch.get_num_threads(), thread_variables(threads)
    old = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    torch.set_num_threads(threads)
    try:
        with threadpool_limits(limits=threads):
            yield
    finally:
        torch.set_num_threads(before)
        for name, value in old.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def one_thread() -> AbstractContextManager[None]:
    """Limit everything to one thread."""
    return limit_threads(1)


def one_blas_thread() -> AbstractContextManager[None]:
    """Let numpy and scipy multiply matrices in one thread; a library that only torch uses keeps its threads.

    Logistic regression and k-means multiply small matrices: on two cores, OpenBLAS takes four times as long for them in
    two threads as in one.
    """
    return _controller().limit(limits=1)


@cache
def _controller() -> "ThreadpoolController":
    """Find the BLAS libraries of numpy and scipy, once per process: the search takes milliseconds."""
    import scipy.linalg  # noqa: F401  has a library of its own
    from threadpoolctl import ThreadpoolController

    blas = [library["filepath"] for library in ThreadpoolController().info() if library["user_api"] == "blas"]
    return ThreadpoolController().select(filepath=[path for path in blas if "torch" not in Path(path).parts])


def n_threads() -> int:
    """Return the number of threads for encoding, by the rules of the tokenizers package.

    One if `TOKENIZERS_PARALLELISM` disables parallelism, else `RAYON_NUM_THREADS` if set, else one per processor that
    this process may run on.
    """
    if os.environ.get("TOKENIZERS_PARALLELISM", "true").lower() in ("", "false", "f", "off", "no", "n", "0"):
        return 1
    requested = os.environ.get("RAYON_NUM_THREADS", "")
    if requested.isdecimal() and int(requested):
        return int(requested)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
