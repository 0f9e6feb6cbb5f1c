"""Tables of a speed benchmark, and the figure of speed against score."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from m2v_bench.errors import BenchError
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.pareto import Point, speed_figure
from m2v_bench.reports.score_table import score_table
from m2v_bench.reports.style import apart, look
from m2v_bench.results.scores import Results, StoredModel, read_results
from m2v_bench.speed.speed_record import LengthSpeed, ModelSpeed, Rates, SpeedRecord, Spread

_NOTHING = "-"
_SAME = 1e-3  # embeddings that differ by less are considered equal
_ONE_CORE = 1.3  # maximum number of busy cores with one thread
_BUSY = 0.5  # warn if the load average exceeds this share of the cores


def speed_grids(record: SpeedRecord) -> list[Grid]:
    """Return two tables: throughput, and load time and memory in a fresh process."""
    return [_throughput(record), _needs(record)]


def _throughput(record: SpeedRecord) -> Grid:
    threads = str(record.plan.threads)
    measured = [model for model in record.models if model.speed]
    reference = next((model for model in measured if model.contender.loader == "model2vec"), None)
    energy = any(_joules(speed) is not None for model in measured for speed in model.speed.values())
    columns = ["Model", "Tokens", "New texts/s", *["x model2vec"] * (reference is not None)]
    columns += ["Again, texts/s", "Slowest - fastest", "MB/s", *["again: x"] * (reference is not None)]
    columns += [f"{threads} threads, texts/s", "of one"] * (threads != "1")
    columns += ["J/1,000 texts"] * energy
    rows: list[list[str]] = []
    bold = set()
    for length in record.lengths:
        fastest = max((model.speed[length].passes["first"].texts_per_second for model in measured), default=None)
        for model in record.models:
            if not model.speed:
                rows.append([model.label, length, *[_NOTHING] * (len(columns) - 2)])
                continue
            passes = model.speed[length].passes
            new, one = passes["first"], passes["1"]
            if new.texts_per_second == fastest:
                bold.add((len(rows), 2))
            row = [model.label, length, _rate(new.texts_per_second)]
            row += _multiple(model, reference, length, "first")
            row += [_rate(one.texts_per_second)]
            row += [f"{_rate(one.slowest)} - {_rate(one.fastest)}", f"{one.megabytes_per_second:.3g}"]
            row += _multiple(model, reference, length, "1")
            if threads != "1":
                row += [_rate(passes[threads].texts_per_second), f"{_ratio(passes[threads], one):.2f}"]
            if energy:
                joules = _joules(model.speed[length])
                row += [_NOTHING if joules is None else f"{joules:.3g}"]
            rows.append(row)
    notes = [*_how(record, energy=energy), *_paths(record), *_absent(record), _machine(record)]
    return Grid(columns, rows, title="speed on one thread", notes=notes, bold=frozenset(bold))


def _multiple(model: ModelSpeed, reference: ModelSpeed | None, length: str, name: str) -> list[str]:
    """Return a cell with the speed as a multiple of the reference's, or none without a reference."""
    if reference is None:
        return []
    return [f"{_ratio(model.speed[length].passes[name], reference.speed[length].passes[name]):.3g}"]


def _joules(speed: LengthSpeed) -> float | None:
    return speed.passes["1"].joules_per_1000_texts


def _rate(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _ratio(one: Rates, other: Rates) -> float:
    """Return the median of the per-round ratios; within a round, both were measured close in time."""
    return float(np.median(np.array(one.rounds) / np.array(other.rounds)))


def _how(record: SpeedRecord, *, energy: bool) -> list[str]:
    texts, counts = record.texts, record.texts["lengths"]
    lengths = "; ".join(
        f"{known['texts']:,} of {known['tokens']['median']:.0f} tokens ({known['tokens']['min']} - "
        f"{known['tokens']['max']}) and {known['mean_bytes']:,.0f} bytes"
        for known in counts.values()
    )
    notes = [
        f"new texts: first pass of a freshly loaded model; other columns: the same texts again, median of "
        f"{record.plan.rounds} rounds over all models",
        f"texts: {texts['source']}, tokens counted by {texts['tokenizer']}: {lengths}",
    ]
    few = [
        f"{model.label} {', '.join(str(speed.texts) for speed in model.speed.values())}"
        for model in record.models
        if any(speed.texts < counts[length]["texts"] for length, speed in model.speed.items())
    ]
    if few:
        notes.append(f"timed on fewer texts: {'; '.join(few)}")
    longest = max(map(int, record.lengths))
    notes += [
        f"{model.label} truncates texts to {model.max_tokens} tokens"
        for model in record.models
        if (model.max_tokens or longest) < longest
    ]
    notes += [
        f"{model.label} kept {busiest:.1f} cores busy although limited to one thread"
        for model in record.models
        if (busiest := max((speed.passes["1"].cores_busy for speed in model.speed.values()), default=0)) > _ONE_CORE
    ]
    if energy:
        notes.append("J: energy used by all processors of the machine")
    return notes


def _paths(record: SpeedRecord) -> list[str]:
    """List the encoding paths of our models, one line per path."""
    by_path: dict[str, list[str]] = {}
    for model in record.models:
        if model.path:
            by_path.setdefault(model.path, []).append(model.label)
    return [f"{', '.join(labels)}: {path}" for path, labels in by_path.items()]


def _absent(record: SpeedRecord) -> list[str]:
    return [f"{model.label} was not measured: {model.absent}" for model in record.models if model.absent]


def _machine(record: SpeedRecord) -> str:
    machine, packages = record.hardware, record.versions
    libraries = ("m2v_bench", "model2vec", "sentence-transformers", "tokenizers", "numba", "numpy", "torch", "python")
    listed = ", ".join(f"{name} {packages[name]}" for name in libraries if name in packages)
    busy = record.load_average
    warning = ""
    if busy is not None and busy > _BUSY * (machine["cores"] or 1):
        warning = f"; {busy:.1f} other processes were running at the start; speeds are unreliable"
    hardware = f"{machine['processor']}, {machine['cores']} cores, {machine['system']}"
    return f"{hardware}; {record.started[:10]}; {listed}{warning}"


def _needs(record: SpeedRecord) -> Grid:
    columns = ["Model", "Library", "Load (s)", "First text (s)", "Peak memory (MB)", "On disk (MB)", "Parameters (M)"]
    rows = []
    for model in record.models:
        cold, contender = model.cold, model.contender
        rows.append(
            [
                model.label,
                contender.library,
                _seconds(cold.get("load_seconds")),
                _seconds(cold.get("first_seconds")),
                f"{cold['peak_rss_bytes'].median / 1e6:,.0f}" if "peak_rss_bytes" in cold else _NOTHING,
                f"{contender.bytes_on_disk / 1e6:,.1f}",
                f"{contender.n_parameters / 1e6:,.1f}",
            ]
        )
    notes = [
        f"{record.plan.cold_starts} fresh single-threaded processes per model, median (and range). Load: imports "
        f"and files; first text: load and first embedding; memory: peak resident set, including mapped files, after "
        f"embedding {record.cold_texts} texts",
        _machine(record),
    ]
    return Grid(columns, rows, title="from a fresh process", notes=notes)


def _seconds(values: Spread | None) -> str:
    return _NOTHING if values is None else f"{values.median:.2f} ({values.min:.2f} - {values.max:.2f})"


def speed_score_figure(record: SpeedRecord, results_dir: Path) -> Figure | None:
    """Plot score against speed of the models with scores in a results folder; None if fewer than two have scores.

    Speed is for texts of the middle length on one thread; the score is the average over the tasks that all models have.
    A model run by another library gets the model's score if the embeddings are equal.
    """
    try:
        results = read_results(results_dir)
    except BenchError:
        return None
    scored = _scored(record, results)
    if len(scored) < 2:
        return None
    rows = [
        {"label": model.label, "kind": stored.kind, "task": task} | {"main_score": score.mean, "teacher": None}
        for model, stored in scored
        for task, score in stored.scored_tasks().items()
    ]
    types = results.task_types({str(row["task"]) for row in rows})
    table = score_table(pd.DataFrame([row | {"type": types[str(row["task"])]} for row in rows]))
    if not table.n_common:
        return None
    length = record.lengths[len(record.lengths) // 2]
    looks = apart(look(stored.name, table.kinds[model.label], stored.variant or None) for model, stored in scored)
    points = []
    for (model, _), model_look in zip(scored, looks, strict=True):
        one = model.speed[length].passes["1"]
        speed, spread = one.texts_per_second, (one.slowest, one.fastest)
        score = table.common[model.label]
        points.append(Point(model.label, model_look, score, speed, model.contender.n_parameters, spread))
    caption = f"average over the {table.n_common} tasks that all of these models have\n{_machine(record)}"
    return speed_figure(points, texts=f"texts of about {length} tokens", caption=caption)


def _scored(record: SpeedRecord, results: Results) -> list[tuple[ModelSpeed, StoredModel]]:
    """Return the measured models that have scores, each with its stored model."""
    pairs = []
    for model in record.models:
        revisions = model.contender.revisions
        matches = [stored for stored in results.models if stored.revision in revisions and stored.seed == 42]
        same = not model.contender.peer or (model.difference is not None and model.difference < _SAME)
        if matches and model.speed and same:
            pairs.append((model, matches[0]))
    return pairs


def write_markdown(grids: Sequence[Grid], path: Path) -> None:
    """Write the tables to one Markdown file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(grid.markdown() for grid in grids), encoding="utf-8")
