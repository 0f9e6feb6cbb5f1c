"""A speed benchmark: every model on the same texts, alternately, on one thread and on several.

Each round goes over the models one after the other, beginning with another one each time, so that what else the machine
does hits all of them. In each round a model is loaded anew for each length of text and embeds the texts once, which it
has never seen, and then the same ones again and again.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.errors import BenchError
from m2v_bench.speed.energy import Energy
from m2v_bench.speed.loaders import LOADERS, Contender, Loaded, prepare
from m2v_bench.speed.texts_of_lengths import BenchTexts
from m2v_bench.speed.throughput import Pass, spread, timed
from m2v_bench.system.environment import git_commit, hardware, version_of, versions
from m2v_bench.system.quiet import quiet
from m2v_bench.system.threads import limit_threads, thread_variables

SECONDS = 0.5  # a timed pass takes at least about so long
_MOST_SECONDS = 2.0  # a model that would take longer for all texts is timed on the first ones
_LEAST = 16  # texts of a pass, however slow the model
_COLD_TEXTS = 256  # embedded in a fresh process for its memory
_VERSION = 1


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes:
        threads: how many threads the second column has; the first always has one.
        rounds: timed rounds over all models.
        cold_starts: fresh processes per model.

    Raises:
        BenchError: for a number that is too small.
    """

    threads: int = 2
    rounds: int = 5
    cold_starts: int = 5

    def __post_init__(self) -> None:
        for name, least in (("threads", 1), ("rounds", 1), ("cold_starts", 0)):
            if (value := getattr(self, name)) < least:
                raise BenchError(f"--{name.replace('_', '-')} {value}: must be {least} or more")


@dataclass
class _Measured:
    """What is known of one model so far.

    Attributes:
        counts: by length, how many texts it is timed on, and how often they fill a pass.
        passes: by length, then `first`, `1` or the number of threads.
        cold: what its fresh processes said.
        samples: embeddings of some texts of each length.
    """

    contender: Contender
    reason: str | None = None
    path: str | None = None
    max_tokens: int | None = None
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    passes: dict[int, dict[str, list[Pass]]] = field(default_factory=dict)
    cold: list[dict[str, Any]] = field(default_factory=list)
    samples: list[np.ndarray] = field(default_factory=list)


def benchmark(contenders: Sequence[Contender], texts: BenchTexts, plan: Plan, *, seed: int) -> dict[str, Any]:
    """Measure all models.

    A model that cannot be loaded, or fails on the texts, has its reason in the record and the others go on.

    Args:
        contenders: the models.
        texts: what they embed.
        plan: how much is measured.
        seed: of the draw of the texts, for the record.

    Returns:
        The record, plain values: what was measured, on what, and with what.
    """
    started, load_average = datetime.now(tz=UTC), _load_average()
    models = [_Measured(each, reason=each.absent) for each in contenders]
    energy = Energy.here()
    steps = len(models) * (len(texts.by_length) * (1 + plan.rounds) + plan.cold_starts)
    with quiet(), tqdm(total=steps, desc="measuring", unit="step", disable=None) as bar:
        for model in models:
            _attempt(model, bar, partial(_calibrate, model, texts), steps=len(texts.by_length))
        for number in range(plan.rounds):
            first = number % len(models)
            for length in texts.by_length:
                for model in [*models[first:], *models[:first]]:
                    _attempt(model, bar, partial(_round, model, texts, length, plan.threads, energy))
        _cold_starts(models, texts, plan.cold_starts, bar)
    return {
        "version": _VERSION,
        "started": started.isoformat(timespec="seconds"),
        "ended": datetime.now(tz=UTC).isoformat(timespec="seconds"),
        "hardware": hardware(),
        "load_average": load_average,
        "versions": versions() | {name: version_of(name) for name in ("numba", "model2vec")},
        "git_commit": git_commit(),
        "seed": seed,
        "plan": asdict(plan) | {"seconds": SECONDS, "cold_texts": _COLD_TEXTS},
        "texts": texts.as_record(),
        "models": [_record(model, models) for model in models],
    }


def _load_average() -> float | None:
    """How many processes wanted a core in the last minute, before the benchmark itself did."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _attempt(model: _Measured, bar: Any, work: Callable[[], None], *, steps: int = 1) -> None:
    """Do a part of a model's measurement; once one has failed its reason is kept, and the others are left out."""
    bar.set_postfix_str(model.contender.label)
    try:
        if model.reason is None:
            work()
    except Exception as error:  # libraries raise what they like
        model.reason = f"{type(error).__name__}: {error}".splitlines()[0]
    bar.update(steps)


def _load(model: _Measured) -> Loaded:
    loaded = LOADERS[model.contender.loader](model.contender.source)
    model.path, model.max_tokens = prepare(loaded.model), loaded.max_tokens
    return loaded


def _calibrate(model: _Measured, texts: BenchTexts) -> None:
    """Warm up, and find out how many texts fill a pass."""
    with limit_threads(1):
        loaded = _load(model)
        for length, each in texts.by_length.items():
            model.samples.append(np.asarray(loaded.encode(each[:_LEAST])))
            n = _LEAST
            while True:
                tried = timed(loaded.encode, each[:n])
                if tried.seconds > SECONDS / 4 or n >= len(each):
                    break
                n *= 4
            n = min(len(each), max(_LEAST, round(tried.rate * _MOST_SECONDS)))
            model.counts[length] = n, max(1, round(tried.rate * SECONDS / n))
            model.passes[length] = {}


def _round(model: _Measured, texts: BenchTexts, length: int, threads: int, energy: Energy | None) -> None:
    """Load the model, time it on texts that it has not seen, then on the same ones, on one thread and on several."""
    n, times = model.counts[length]
    seen, n_bytes = texts.by_length[length][:n], sum(texts.n_bytes[length][:n])
    with limit_threads(1):
        loaded = _load(model)
        loaded.encode(seen[:1])  # what is imported or made with the first text
        passes = {"first": timed(loaded.encode, seen, n_bytes=n_bytes)}
        # in one call, so that a library can spread it over threads
        passes["1"] = timed(loaded.encode, seen * times, n_bytes=times * n_bytes, energy=energy)
    if threads > 1:
        with limit_threads(threads):
            loaded.encode(seen[:_LEAST])  # threads are started
            passes[str(threads)] = timed(loaded.encode, seen * times, n_bytes=times * n_bytes)
    for name, each in passes.items():
        model.passes[length].setdefault(name, []).append(each)


def _cold_starts(models: Sequence[_Measured], texts: BenchTexts, times: int, bar: Any) -> None:
    """Let fresh processes load each model, alternately."""
    lengths = sorted(texts.by_length)
    sample = texts.by_length[lengths[len(lengths) // 2]][:_COLD_TEXTS]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(sample), encoding="utf-8")
        for _ in range(times):
            for model in models:
                _attempt(model, bar, partial(_cold_start, model, file))


def _cold_start(model: _Measured, texts_file: Path) -> None:
    model.cold.append(cold_start(model.contender, texts_file))


def cold_start(contender: Contender, texts_file: Path) -> dict[str, Any]:
    """What a fresh process on one thread needs for a model.

    Args:
        contender: the model.
        texts_file: JSON file of texts.

    Returns:
        `load_seconds`, for imports and files; `first_seconds`, for these and the first embedding; `peak_rss_bytes`,
        with all the texts embedded (None where the system does not say).

    Raises:
        RuntimeError: with the last line that the process wrote, when it failed.
    """
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
    done = subprocess.run(
        [sys.executable, "-m", "m2v_bench.speed.cold_start", contender.loader, contender.source, str(texts_file)],
        env={**os.environ, **one, **thread_variables(1), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"in a fresh process: {(done.stderr.strip().splitlines() or ['it died'])[-1]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _record(model: _Measured, models: Sequence[_Measured]) -> dict[str, Any]:
    """What the record says of a model; nothing that was measured of one that failed."""
    whole = model.reason is None
    return asdict(model.contender) | {
        "revisions": list(model.contender.revisions),
        "absent": model.reason,
        "path": model.path,
        "max_tokens": model.max_tokens,
        "difference": _difference(model, models) if whole else None,
        "speed": {str(length): _speed(model, length) for length in model.passes} if whole else {},
        "cold": _cold(model.cold) if whole else {},
    }


def _speed(model: _Measured, length: int) -> dict[str, Any]:
    """By pass, the rates of all rounds and what is made of them."""
    found: dict[str, Any] = {"texts": model.counts[length][0]}
    for name, passes in model.passes[length].items():
        megabytes = [each.n_bytes / each.seconds / 1e6 for each in passes]
        joules = [1000 * each.joules / each.n_texts for each in passes if each.joules is not None]
        found[name] = spread(passes) | {
            "rounds": [round(each.rate, 2) for each in passes],
            "megabytes_per_second": float(np.median(megabytes)),
        }
        if joules:
            found[name]["joules_per_1000_texts"] = float(np.median(joules))
    return found


def _cold(starts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    found = {}
    for name in ("load_seconds", "first_seconds", "peak_rss_bytes"):
        values = [each[name] for each in starts if each[name] is not None]
        if values:
            found[name] = {"median": float(np.median(values)), "min": min(values), "max": max(values)}
    return found


def _difference(model: _Measured, models: Sequence[_Measured]) -> float | None:
    """The largest difference to the embeddings that our own encoder makes of the same folder; None without one."""
    own = [each for each in models if each.contender.loader == "static" and each.reason is None]
    same = [each for each in own if each is not model and each.contender.source == model.contender.source]
    if not same:
        return None
    pairs = zip(model.samples, same[0].samples, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)
