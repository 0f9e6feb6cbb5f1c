"""Test which of several scored models is better (`m2v-bench compare`), without running a model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.reports.grid import Exact, Grid
from m2v_bench.results.scores import read_results
from m2v_bench.stats.paired import CONFIDENCE, QUESTIONS, REPLICATES, Compared, load
from m2v_bench.stats.significance import Difference, holm, letters, pairwise, verdict, verdicts

_AVERAGES = {"tasks": "average over tasks", "types": "average over types"}


def compare(
    words: Sequence[str],
    path: Path,
    *,
    tasks: Sequence[str] = (),
    replicates: int = REPLICATES,
    seed: int = 42,
    confidence: float = CONFIDENCE,
    against: Path | None = None,
) -> Grid:
    """Compare two models task by task, or several by their averages with letters.

    Args:
        words: the models, as `Results.find` reads them.
        path: a results folder, or an exported table.
        tasks: names of the tasks to compare on; all that the models have when empty.
        replicates: resamples of each task.
        seed: seed of the draws.
        confidence: of the intervals; the significance level is 1 - confidence.
        against: results folder or table of the second of two models; `path` when None.

    Raises:
        BenchError: for an unknown or ambiguous model, an unknown task, or models not scored on the same samples.
    """
    if len(words) < 2:
        raise BenchError("compare: name two models or more")
    if against is not None and len(words) != 2:
        raise BenchError(f"--against {against}: compares two models; {len(words)} are named")
    results = read_results(path)
    models = [results.find(word) for word in words[: 1 if against is not None else None]]
    places = None
    if against is not None:
        models.append(read_results(against).find(words[1]))
        if models[0].label == models[1].label:
            models = [
                replace(model, label=f"{model.label} in {place}", id=str(place))
                for model, place in zip(models, (path, against), strict=True)
            ]
        places = {models[0].label: path, models[1].label: against}
    compared = load(
        models, results, tasks=tasks, replicates=replicates, seed=seed, confidence=confidence, places=places
    )
    return two_models(compared, confidence) if len(models) == 2 else several_models(compared, confidence)


def two_models(compared: Compared, confidence: float) -> Grid:
    """Show the difference of two models per task and on average, with win, tie and loss."""
    statistics, alpha = compared.comparison, 1 - confidence
    differences = [statistics.on_task(task, 0, 1) for task in range(len(compared.tasks))]
    outcome = verdicts(differences, alpha=alpha)
    corrected = holm([difference.p for difference in differences])
    rows = []
    for number, (task, difference) in enumerate(zip(compared.tasks, differences, strict=True)):
        p = [p_text(difference.p), p_text(corrected[number])]
        rows.append([task, *_points(*statistics.scores[number]), *interval(difference), *p, outcome[number]])
    for average in compared.averages:
        means = _points(*(statistics.weights(average) @ statistics.scores))
        for question, difference in (
            ("these tasks", statistics.these_tasks(0, 1, average)),
            ("tasks like these", statistics.tasks_like_these(0, 1, average)),
        ):
            name = f"{_AVERAGES[average]}: {question}"
            judged = "withheld" if np.isnan(difference.p) else verdict(difference.value, difference.p, alpha)
            rows.append([name, *means, *interval(difference), p_text(difference.p), "", judged])
    a, b = compared.labels
    percent = f"{100 * confidence:g}%"
    count = ", ".join(f"{outcome.count(name)} {name}" for name in ("win", "tie", "loss", "untested"))
    notes = [
        f"{a}: {count} of {len(outcome)} tasks (tie: p (Holm) not below {alpha:.3g})",
        *_withheld(compared),
        *compared.notes,
        f"main scores x 100; {percent} intervals, not corrected; {QUESTIONS}",
        f"{compared.signature}; Holm over {len(corrected)} tasks",
    ]
    header = ["Task", a, b, "Difference", f"{percent} low", f"{percent} high", "p", "p (Holm)", "Verdict"]
    return Grid(header, rows, title=f"{a} against {b}", notes=notes)


def several_models(compared: Compared, confidence: float) -> Grid:
    """Rank models by their averages, compare them with the best one, and give letters over all pairs."""
    rows: list[list[str]] = []
    for average in compared.averages:
        rows += _ranked(compared, average, confidence)
    percent = f"{100 * confidence:g}%"
    header = ["Model", "Average over", "Score", "Below the best", f"{percent} low", f"{percent} high", "p (Holm)"]
    n_pairs = len(compared.labels) * (len(compared.labels) - 1) // 2
    notes = [
        *_withheld(compared),
        *compared.notes,
        f"main scores x 100; models that share a letter are not significantly different (α = {1 - confidence:.3g}); "
        f"{QUESTIONS}; interval and p: {_question(compared)}",
        f"{compared.signature}; Holm over {n_pairs} pairs",
    ]
    return Grid([*header, "These tasks", "Tasks like these"], rows, title="from the best to the last", notes=notes)


def _withheld(compared: Compared) -> list[str]:
    """Name the averages without a verdict on tasks like these, and why, a line per reason."""
    reasons: dict[str, list[str]] = {}
    for average in compared.averages:
        if reason := compared.withheld(average):
            reasons.setdefault(reason, []).append(_AVERAGES[average])
    return [f"{' and '.join(names)}, tasks like these: withheld, {reason}" for reason, names in reasons.items()]


def _question(compared: Compared) -> str:
    """Return what the intervals are about: these tasks where samples of all of them are known."""
    return "these tasks" if all(compared.sampled) else "tasks like these"


def _ranked(compared: Compared, average: str, confidence: float) -> list[list[str]]:
    statistics, n = compared.comparison, len(compared.labels)
    means = statistics.weights(average) @ statistics.scores
    order = [int(index) for index in np.argsort(-means, kind="stable")]
    pairs = list(combinations(range(n), 2))
    these = {(i, j): statistics.these_tasks(order[i], order[j], average) for i, j in pairs}
    like = {(i, j): statistics.tasks_like_these(order[i], order[j], average) for i, j in pairs}
    shown = these if _question(compared) == "these tasks" else like
    p = pairwise(n, shown)
    columns = [_letters(n, differences, 1 - confidence) for differences in (these, like)]
    rows = []
    for place, model in enumerate(order):
        against = [*interval(shown[0, place]), p_text(p[0, place])] if place else ["-"] * 4
        row = [compared.labels[model], average, *_points(means[model]), *against]
        rows.append([*row, *(letter[place] for letter in columns)])
    return rows


def _letters(n_models: int, differences: Mapping[tuple[int, int], Difference], alpha: float) -> list[str]:
    if any(np.isnan(difference.p) for difference in differences.values()):
        return ["-"] * n_models
    return letters(pairwise(n_models, differences) < alpha)


def _points(*scores: float) -> list[str]:
    return [f"{100 * score:.2f}" for score in scores]


def interval(difference: Difference) -> list[str]:
    """Format value, low and high in points."""
    values = (difference.value, difference.low, difference.high)
    return ["-" if np.isnan(value) else f"{100 * value:+.2f}" for value in values]


def p_text(value: float) -> str:
    """Format a p-value."""
    return Exact("-" if np.isnan(value) else "<0.0001" if value < 1e-4 else f"{value:.4f}", value)
