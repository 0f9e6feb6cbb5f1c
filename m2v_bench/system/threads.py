"""Limit and count threads."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


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
