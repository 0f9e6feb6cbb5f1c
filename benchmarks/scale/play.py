"""A sweep played through: jobs, the steps that they share, and the workers that take them."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Step:
    """A part of a job: seconds, and what they make for all jobs, or None when for this job alone."""

    seconds: float
    shared: str | None = None


@dataclass
class Played:
    """How a sweep went.

    Attributes:
        wall: seconds from start to end.
        busy: seconds that workers computed, over all of them.
        waited: seconds that workers waited for what another one was computing.
    """

    wall: float = 0.0
    busy: float = 0.0
    waited: float = 0.0
    made: dict[str, float] = field(default_factory=dict)  # when what is shared was there


def play(jobs: Iterable[Sequence[Step]], workers: int, *, start: float = 0.0) -> Played:
    """Let workers take the jobs in their order, as a launcher does; the first to need a shared step computes it.

    Args:
        jobs: the steps of each.
        workers: how many jobs run at once.
        start: seconds until a worker is ready for its first job.
    """
    waiting, played = iter(jobs), Played()
    # the worker that is free next comes first; a job is known by its number, so that equal times have an order
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
        if step.shared is not None and step.shared in played.made:
            end = max(now, played.made[step.shared])
            played.waited += end - now
        else:
            end = now + step.seconds
            played.busy += step.seconds
            if step.shared is not None:
                played.made[step.shared] = end
        heapq.heappush(ready, (end, worker, job, at + 1))
    return played
