"""Measure texts per second, alternating between models."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.models.model import Encoder
from m2v_bench.speed.energy import Energy
from m2v_bench.speed.loaders import prepare
from m2v_bench.system.threads import one_thread

# for two equally fast models, all rounds of one are faster than all of the other with probability 1/126
ROUNDS = 5
_MIN_SECONDS = 0.2  # fast models repeat the texts to fill a pass of this duration


@dataclass(frozen=True)
class Pass:
    """A timed pass over texts.

    Attributes:
        n_texts, n_bytes: number of texts, and their total size in UTF-8.
        seconds: wall time.
        cores_busy: CPU time of the process / wall time.
        joules: energy used by the machine's processors; None if it cannot be read.
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
    """Embed `texts` repeatedly and time it.

    Args:
        encode: embeds texts.
        texts: the texts.
        times: number of repetitions.
        n_bytes: total size of the texts in UTF-8, to compute megabytes per second.
        energy: counters to read before and after.
    """
    before = None if energy is None else energy.microjoules()
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(times):
        encode(texts)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    joules = None if energy is None or before is None else energy.joules_since(before)
    return Pass(times * len(texts), times * n_bytes, wall, cpu / wall, joules)


def spread(passes: Sequence[Pass]) -> dict[str, float]:
    """Return median, slowest and fastest texts per second, and the median of busy cores."""
    rates = [timing.rate for timing in passes]
    return {
        "texts_per_second": float(np.median(rates)),
        "slowest": min(rates),
        "fastest": max(rates),
        "cores_busy": round(float(np.median([timing.cores_busy for timing in passes])), 2),
    }


def others_running() -> int | None:
    """Return how many other threads run or wait for a core; None if the system does not report it."""
    try:
        return max(0, int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]) - 1)
    except (OSError, ValueError, IndexError):
        return None


def alternately(
    encoders: Mapping[str, Callable[[], Encoder]], texts: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Exception]]:
    """Encode `texts` with several models on one thread, in `ROUNDS` rounds over all models after a warm-up.

    Each round starts with another model, so that other load on the machine affects all of them.

    Args:
        encoders: functions that load the models, by label.
        texts: the texts to encode.

    Returns:
        By label, the rates of `spread`, the rates of all `rounds`, the encoding `path` of our static models
        (`loaders.prepare`) or None, and the median of `others_running`; and by label, the errors of models that failed.
    """
    calls: dict[str, Callable[[Sequence[str]], Any]] = {}
    paths: dict[str, str | None] = {}
    times: dict[str, int] = {}
    passes: dict[str, list[Pass]] = {label: [] for label in encoders}
    others: dict[str, list[int]] = {label: [] for label in encoders}
    failed: dict[str, Exception] = {}
    with one_thread():
        for label, load in encoders.items():
            try:
                encoder = load()
                paths[label] = prepare(getattr(encoder, "model", None))
                calls[label] = partial(encoder.encode, batch_size=32)
                times[label] = max(1, round(_MIN_SECONDS / timed(calls[label], texts).seconds))
            except Exception as error:  # libraries raise anything
                failed[label] = error
        for number in range(ROUNDS):
            labels = [label for label in encoders if label not in failed]
            first = number % max(1, len(labels))
            for label in [*labels[first:], *labels[:first]]:
                try:
                    if (n := others_running()) is not None:
                        others[label].append(n)
                    passes[label].append(timed(calls[label], texts, times=times[label]))
                except Exception as error:
                    failed[label] = error
    rates = {
        label: {
            **spread(timings),
            "rounds": [round(timing.rate, 2) for timing in timings],
            "path": paths[label],
            "others_running": float(np.median(others[label])) if others[label] else None,
        }
        for label, timings in passes.items()
        if label not in failed
    }
    return rates, failed
