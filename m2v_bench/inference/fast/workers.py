"""Spread work over a pool of threads that stays between calls."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import cache
from typing import TypeVar

from m2v_bench.system.threads import n_threads

FEWEST_TEXTS = 256  # fewer are not worth a thread

Item = TypeVar("Item")
Result = TypeVar("Result")


def threads_for(n_texts: int) -> int:
    """Return how many threads to use for so many texts."""
    most = 1 + n_texts // FEWEST_TEXTS
    return 1 if most == 1 else min(n_threads(), most)


def in_threads(work: Callable[[Item], Result], items: Sequence[Item], threads: int) -> list[Result]:
    """Return `work(item)` for each item, computed by several threads, the calling one among them.

    Returns or raises only when no thread works any longer. After an error no further item is begun.
    """
    if threads == 1 or len(items) < 2:
        return [work(item) for item in items]
    queue = deque(enumerate(items))
    results: dict[int, Result] = {}

    def take() -> None:
        try:
            while queue:
                try:
                    number, item = queue.popleft()
                except IndexError:  # another thread was faster
                    return
                results[number] = work(item)
        finally:
            queue.clear()

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # no new threads while the interpreter exits: the caller does all of the work
        helpers += [_pool().submit(take) for _ in range(min(threads, len(items)) - 1)]
    try:
        take()
    finally:
        running = [helper for helper in helpers if not helper.cancel()]
        _wait_for(running)
    for helper in running:
        helper.result()  # raises the helper's error
    return [results[number] for number in range(len(items))]


def forget_threads() -> None:
    """Drop the pool in a forked process, which does not have its threads."""
    _pool.cache_clear()


@cache
def _pool() -> ThreadPoolExecutor:
    """Keep threads between calls: starting them takes as long as embedding hundreds of texts."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="m2v-bench")


def _wait_for(running: Sequence[Future[None]]) -> None:
    """Wait even when interrupted repeatedly: the threads read what the next call may change."""
    try:
        wait(running)
    except BaseException:
        _wait_for(running)
        raise
