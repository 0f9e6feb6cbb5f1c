"""Benchmark the speed of models on the same texts, alternately, on one thread and on several.

Every round visits all models, each time starting with another one, so that other load on the machine affects all of
them. In each round, a model is reloaded for each text length; it embeds the unseen texts once and then repeatedly.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.speed.energy import Energy
from m2v_bench.speed.loaders import LOADERS, Contender, Loaded, prepare
from m2v_bench.speed.speed_record import LengthSpeed, ModelSpeed, Plan, Rates, SpeedRecord, Spread
from m2v_bench.speed.texts_of_lengths import BenchTexts
from m2v_bench.speed.throughput import Pass, spread, timed
from m2v_bench.system.environment import git_commit, hardware, version_of, versions
from m2v_bench.system.quiet import quiet
from m2v_bench.system.threads import limit_threads, thread_variables

SECONDS = 0.5  # approximate minimum duration of a timed pass
_MOST_SECONDS = 2.0  # slower models are timed on the first texts only
_LEAST = 16  # minimum number of texts of a pass
_COLD_TEXTS = 256  # texts embedded to measure memory in a fresh process
_VERSION = 2


@dataclass
class _Measured:
    """Measurements of one model so far.

    Attributes:
        counts: by length, the number of texts to time, and how often to repeat them in a pass.
        passes: by length, then by `first`, `1` or the number of threads.
        cold: measurements of fresh processes.
        samples: embeddings of the first texts of each length.
    """

    contender: Contender
    reason: str | None = None
    path: str | None = None
    max_tokens: int | None = None
    counts: dict[int, tuple[int, int]] = field(default_factory=dict)
    passes: dict[int, dict[str, list[Pass]]] = field(default_factory=dict)
    cold: list[dict[str, Any]] = field(default_factory=list)
    samples: list[np.ndarray] = field(default_factory=list)


def benchmark(contenders: Sequence[Contender], texts: BenchTexts, plan: Plan, *, seed: int) -> SpeedRecord:
    """Measure all models.

    If a model fails, the record holds the reason and the other models continue.

    Args:
        contenders: the models.
        texts: the texts to embed.
        plan: size of the benchmark.
        seed: sampling seed of the texts, for the record.

    Returns:
        The record: measurements, hardware, versions, plan and texts.
    """
    started, load_average = datetime.now(tz=UTC), _load_average()
    models = [_Measured(contender, reason=contender.absent) for contender in contenders]
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
    return SpeedRecord(
        models=[_record(model, models) for model in models],
        plan=plan,
        cold_texts=_COLD_TEXTS,
        seconds=SECONDS,
        texts=texts.as_record(),
        seed=seed,
        hardware=hardware(),
        load_average=load_average,
        versions=versions() | {name: version_of(name) for name in ("numba", "model2vec")},
        git_commit=git_commit(),
        started=started.isoformat(timespec="seconds"),
        ended=datetime.now(tz=UTC).isoformat(timespec="seconds"),
        version=_VERSION,
    )


def _load_average() -> float | None:
    """Return the load average of the last minute, taken before the benchmark starts."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _attempt(model: _Measured, bar: Any, work: Callable[[], None], *, steps: int = 1) -> None:
    """Do part of a model's measurement, unless an earlier part failed; keep the reason of a failure."""
    bar.set_postfix_str(model.contender.label)
    try:
        if model.reason is None:
            work()
    except Exception as error:  # libraries raise anything
        model.reason = f"{type(error).__name__}: {error}".splitlines()[0]
    bar.update(steps)


def _load(model: _Measured) -> Loaded:
    loaded = LOADERS[model.contender.loader](model.contender.source)
    model.path, model.max_tokens = prepare(loaded.model), loaded.max_tokens
    return loaded


def _calibrate(model: _Measured, texts: BenchTexts) -> None:
    """Warm up, and determine how many texts fill a pass."""
    with limit_threads(1):
        loaded = _load(model)
        for length, of_length in texts.by_length.items():
            model.samples.append(np.asarray(loaded.encode(of_length[:_LEAST])))
            n = _LEAST
            while True:
                trial = timed(loaded.encode, of_length[:n])
                if trial.seconds > SECONDS / 4 or n >= len(of_length):
                    break
                n *= 4
            n = min(len(of_length), max(_LEAST, round(trial.rate * _MOST_SECONDS)))
            model.counts[length] = n, max(1, round(trial.rate * SECONDS / n))
            model.passes[length] = {}


def _round(model: _Measured, texts: BenchTexts, length: int, threads: int, energy: Energy | None) -> None:
    """Reload the model and time it on unseen texts, then on the same texts with one thread and with several."""
    n, times = model.counts[length]
    seen, n_bytes = texts.by_length[length][:n], sum(texts.n_bytes[length][:n])
    with limit_threads(1):
        loaded = _load(model)
        loaded.encode(seen[:1])  # triggers lazy imports and initialization
        passes = {"first": timed(loaded.encode, seen, n_bytes=n_bytes)}
        # in one call, so that a library can distribute texts over threads
        passes["1"] = timed(loaded.encode, seen * times, n_bytes=times * n_bytes, energy=energy)
    if threads > 1:
        with limit_threads(threads):
            loaded.encode(seen[:_LEAST])  # starts the threads
            passes[str(threads)] = timed(loaded.encode, seen * times, n_bytes=times * n_bytes)
    for name, timing in passes.items():
        model.passes[length].setdefault(name, []).append(timing)


def _cold_starts(models: Sequence[_Measured], texts: BenchTexts, times: int, bar: Any) -> None:
    """Load the models in fresh processes, alternately."""
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
    """Measure time and memory of a model in a fresh single-threaded process.

    Args:
        contender: the model.
        texts_file: JSON file of texts.

    Returns:
        `load_seconds` for imports and files; `first_seconds` for these and the first embedding; `peak_rss_bytes` after
        embedding all texts (None if the system does not report it).

    Raises:
        RuntimeError: if the process failed, with the last line of its stderr.
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
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _record(model: _Measured, models: Sequence[_Measured]) -> ModelSpeed:
    """Return the record of a model, without measurements if it failed."""
    complete = model.reason is None
    return ModelSpeed(
        contender=model.contender,
        absent=model.reason,
        path=model.path,
        max_tokens=model.max_tokens,
        difference=_difference(model, models) if complete else None,
        speed={str(length): _speed(model, length) for length in model.passes} if complete else {},
        cold=_cold(model.cold) if complete else {},
    )


def _speed(model: _Measured, length: int) -> LengthSpeed:
    """Return the rates of all rounds and their statistics, by pass."""
    rates = {}
    for name, passes in model.passes[length].items():
        joules = [1000 * timing.joules / timing.n_texts for timing in passes if timing.joules is not None]
        rates[name] = Rates(
            **spread(passes),
            rounds=[round(timing.rate, 2) for timing in passes],
            megabytes_per_second=float(np.median([timing.n_bytes / timing.seconds / 1e6 for timing in passes])),
            joules_per_1000_texts=float(np.median(joules)) if joules else None,
        )
    return LengthSpeed(model.counts[length][0], rates)


def _cold(starts: Sequence[dict[str, Any]]) -> dict[str, Spread]:
    summary = {}
    for name in ("load_seconds", "first_seconds", "peak_rss_bytes"):
        values = [start[name] for start in starts if start[name] is not None]
        if values:
            summary[name] = Spread(float(np.median(values)), min(values), max(values))
    return summary


def _difference(model: _Measured, models: Sequence[_Measured]) -> float | None:
    """Return the largest difference from our encoder's embeddings of the same folder; None without such a model."""
    static = [other for other in models if other.contender.loader == "static" and other.reason is None]
    same = [other for other in static if other is not model and other.contender.source == model.contender.source]
    if not same:
        return None
    pairs = zip(model.samples, same[0].samples, strict=True)
    return max(float(np.abs(one - other).max()) for one, other in pairs)
