"""How many texts a model embeds in a second: what is timed, and how times are put together."""

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

# of two models that are equally fast, each round of one is faster than each of the other by chance in 1 case of 126
ROUNDS = 5
_MIN_SECONDS = 0.5  # a pass of a fast model encodes the texts as often as it takes to fill this


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


def others_running() -> int | None:
    """How many threads beside this one run or wait for a core now; None where the system does not say."""
    try:
        return max(0, int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].partition("/")[0]) - 1)
    except (OSError, ValueError, IndexError):
        return None


def alternately(
    encoders: Mapping[str, Callable[[], Encoder]], texts: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Exception]]:
    """Encode `texts` on one thread by several models, in `ROUNDS` rounds over all of them after a warm-up.

    Each round begins with another model, so that what else the machine does hits all of them.

    Args:
        encoders: loads a model, by its label.
        texts: what they encode.

    Returns:
        By label, the rates of `spread`, the `rounds` that they come of, the `path` that a static model of ours took
        (`loaders.prepare`), else None, and the median of `others_running`; by label, why a model could not be measured.
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
            except Exception as error:  # libraries raise what they like
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
            **spread(own),
            "rounds": [round(each.rate, 2) for each in own],
            "path": paths[label],
            "others_running": float(np.median(others[label])) if others[label] else None,
        }
        for label, own in passes.items()
        if label not in failed
    }
    return rates, failed
