"""Simulate a sweep: jobs, steps that they share, and workers."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """Step of a job: its seconds, and the name of its result if jobs share it."""

    seconds: float
    shared: str | None = None


@dataclass
class Played:
    """Result of a simulation.

    Attributes:
        wall: seconds from start to end.
        busy: total seconds in which workers computed.
        waited: total seconds in which workers waited for shared results.
        finished: time at which each shared result is available.
    """

    wall: float = 0.0
    busy: float = 0.0
    waited: float = 0.0
    finished: dict[str, float] = field(default_factory=dict)


def play(jobs: Iterable[Sequence[Step]], workers: int, *, start: float = 0.0) -> Played:
    """Simulate workers that take the jobs in order; the first to need a shared step computes it.

    Args:
        jobs: the steps of each job.
        workers: number of jobs that run at once.
        start: seconds until a worker is ready for its first job.
    """
    waiting, played = iter(jobs), Played()
    # heap by time; worker numbers break ties
    ready: list[tuple[float, int, Sequence[Step], int]] = []
    for number in range(workers):
        if (job := next(waiting, None)) is not None:
            ready.append((start, number, job, 0))
    while ready:
        now, worker, job, at = heapq.heappop(ready)
        if at == len(job):
            played.wall = max(played.wall, now)
            if (fresh := next(waiting, None)) is not None:
                heapq.heappush(ready, (now, worker, fresh, 0))
            continue
        step = job[at]
        if step.shared is not None and step.shared in played.finished:
            end = max(now, played.finished[step.shared])
            played.waited += end - now
        else:
            end = now + step.seconds
            played.busy += step.seconds
            if step.shared is not None:
                played.finished[step.shared] = end
        heapq.heappush(ready, (end, worker, job, at + 1))
    return played
