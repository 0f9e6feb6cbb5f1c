"""Compare the jobs of two sweeps that have the same settings, as before and after a change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.config.job_names import tells_apart
from m2v_bench.errors import BenchError
from m2v_bench.reports.compare import interval, p_text
from m2v_bench.reports.grid import Grid
from m2v_bench.results.experiment import Experiment, find_experiment
from m2v_bench.results.scores import Results, StoredModel, read_results
from m2v_bench.stats.paired import CONFIDENCE, REPLICATES, load
from m2v_bench.stats.significance import Difference, holm, verdict

_DATA = ("hub_dir", "data_dir")


@dataclass(frozen=True)
class _Side:
    """A sweep, the results that it belongs to, and its name in the table."""

    experiment: Experiment
    results: Results
    name: str


def _tells_apart(key: str) -> bool:
    """Return whether a setting belongs to the variant; baselines and places of data change no row."""
    return tells_apart(key) and not key.startswith("baselines.") and key not in _DATA


def is_sweep(word: str, path: Path) -> bool:
    """Return whether a word names a sweep of a results folder or table, or is the folder of one."""
    try:
        return find_experiment(word, path).kind == "sweep"
    except BenchError:
        return False


def compare_sweeps(
    words: Sequence[str],
    paths: Sequence[Path],
    *,
    tasks: Sequence[str] = (),
    replicates: int = REPLICATES,
    seed: int = 42,
    confidence: float = CONFIDENCE,
) -> Grid:
    """Compare the distilled models of two sweeps, a row per combination of settings that both have.

    Args:
        words: names or folders of the two sweeps.
        paths: the results folder or table of each.
        tasks: names of the tasks to compare on; all that both models of a row have when empty.
        replicates, seed, confidence: as in `compare`.

    Raises:
        BenchError: when there is no such sweep, or they have no combination of settings in common.
    """
    names = (
        list(words) if words[0] != words[1] else [f"{word} in {path}" for word, path in zip(words, paths, strict=True)]
    )
    sweeps = [find_experiment(word, path) for word, path in zip(words, paths, strict=True)]
    # a sweep that is named by its folder may belong to other results
    sides = [_Side(sweep, read_results(sweep.results), name) for sweep, name in zip(sweeps, names, strict=True)]
    keys = list(dict.fromkeys(key for sweep in sweeps for key in sweep.changed if _tells_apart(key)))
    jobs = [_models(side, keys) for side in sides]
    common = [key for key in jobs[0] if key in jobs[1]]
    if not common:
        raise BenchError(
            f"compare: {names[0]} and {names[1]} have no combination of {', '.join(keys) or 'settings'} in common"
        )
    alpha, differences, cells, notes = 1 - confidence, [], [], []
    for key in common:
        first, second = jobs[0][key], jobs[1][key]
        if first.address == second.address and len({side.results.path.resolve() for side in sides}) == 1:
            cells.append([*key, "-", "-", "the same model"])
            differences.append(Difference(0.0, np.nan, np.nan, np.nan))
            continue
        pair = [
            replace(first, label=f"{first.label} (1)", id="1"),
            replace(second, label=f"{second.label} (2)", id="2"),
        ]
        compared = load(
            pair,
            sides[0].results,
            tasks=tasks,
            replicates=replicates,
            seed=seed,
            confidence=confidence,
            places={model.label: side.results.path for model, side in zip(pair, sides, strict=True)},
        )
        statistics = compared.comparison
        means = statistics.weights("tasks") @ statistics.scores
        differences.append(statistics.these_tasks(0, 1))
        cells.append([*key, *(f"{100 * mean:.2f}" for mean in means), f"{len(compared.tasks)}"])
        notes += compared.notes
    corrected = holm([difference.p for difference in differences])
    rows = [
        [*row, *interval(difference), p_text(difference.p), p_text(p), verdict(difference.value, p, alpha)]
        for row, difference, p in zip(cells, differences, corrected, strict=True)
    ]
    percent = f"{100 * confidence:g}%"
    header = [*keys, names[0], names[1], "Tasks", "Difference"]
    header += [f"{percent} low", f"{percent} high", "p", "p (Holm)", "Verdict"]
    left = sum(len(side) for side in jobs) - 2 * len(common)
    return Grid(
        header,
        rows,
        title=f"{names[0]} against {names[1]}",
        notes=[
            *([f"{left} jobs of either sweep have no counterpart"] if left else []),
            *dict.fromkeys(notes),
            f"win: {names[0]} is better",
            f"averages over tasks x 100; {percent} intervals for other samples of these tasks, not corrected",
            f"Holm over {len(rows)} rows; {replicates} replicates, seed {seed}",
        ],
    )


def _models(side: _Side, keys: Sequence[str]) -> dict[tuple[str, ...], StoredModel]:
    """Return the model of each job of a sweep by its values of the settings."""
    models: dict[tuple[str, ...], StoredModel] = {}
    for record in side.experiment.records:
        settings: Mapping[str, Any] = record.settings
        models[tuple(str(settings.get(key)) for key in keys)] = side.results.student_of(record)
    return models
