"""How many texts a model embeds in a second: what is timed, and how times are put together."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from m2v_bench.baselines.encoder import Encoder
from m2v_bench.evaluation.energy import Energy
from m2v_bench.loaders import prepare
from m2v_bench.threads import one_thread

REPEATS = 3
_MIN_SECONDS = 0.5  # a repeat of a fast model encodes the texts as often as it takes to fill this


@dataclass(frozen=True)
class Pass:
    """Texts embedded while the clock ran.

    Attributes:
        n_texts, n_bytes: how many, and their length in UTF-8.
        seconds: wall time.
        cores_busy: the process's CPU time over wall time.
        joules: what the machine's processors used meanwhile; None where that cannot be read.
    """

    n_texts: int
    n_bytes: int
    seconds: float
    cores_busy: float
    joules: float | None = None

    @property
    def rate(self) -> float:
        """Texts per second."""
        return self.n_texts / self.seconds


def timed(
    encode: Callable[[Sequence[str]], Any],
    texts: Sequence[str],
    *,
    times: int = 1,
    n_bytes: int = 0,
    energy: Energy | None = None,
) -> Pass:
    """Embed `texts` a number of times.

    Args:
        encode: embeds texts.
        texts: the texts.
        times: how often.
        n_bytes: their length in UTF-8, where megabytes per second are wanted.
        energy: a meter to be read before and after.
    """
    before = None if energy is None else energy.microjoules()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        encode(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    joules = None if energy is None or before is None else energy.joules_since(before)
    return Pass(times * len(texts), times * n_bytes, wall, cpu / wall, joules)


def spread(passes: Sequence[Pass]) -> dict[str, float]:
    """Median, slowest and fastest texts per second, and the median of the cores that were busy."""
    rates = [each.rate for each in passes]
    return {
        "texts_per_second": float(np.median(rates)),
        "slowest": min(rates),
        "fastest": max(rates),
        "cores_busy": round(float(np.median([each.cores_busy for each in passes])), 2),
    }


def texts_per_second(encoder: Encoder, texts: Sequence[str]) -> dict[str, Any]:
    """Encode `texts` on one thread, `REPEATS` times after a warm-up.

    Returns:
        The rates of `spread`, and the `path` that a static model of ours took (`loaders.prepare`), else None.
    """

    def encode(texts: Sequence[str]) -> Any:
        return encoder.encode(texts, batch_size=32)

    with one_thread():
        path = prepare(getattr(encoder, "model", None))
        once = timed(encode, texts)
        times = max(1, round(_MIN_SECONDS / once.seconds))
        passes = [timed(encode, texts, times=times) for _ in range(REPEATS)]
    return {**spread(passes), "path": path}
