"""Tables of a report: settings, scores per task, missing scores, cost, speed."""

import math
from collections.abc import Sequence
from pathlib import Path

from m2v_bench.errors import BenchError
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.pareto import undominated
from m2v_bench.reports.summary import Summary
from m2v_bench.reports.sweep_figures import shared_words, short_labels, speed_points
from m2v_bench.results.experiment import Experiment
from m2v_bench.results.score_files import Cost
from m2v_bench.results.scores import read_results
from m2v_bench.system.formatting import duration, first_of, human_bytes, masked

_NAMED = 8  # tasks of a sentence
_STAGES = ("prepare", "distil", "evaluate", "speed")
_SHOWN = ("prepare", "distil", "forward", "evaluate", "speed", "total")


def job_settings(experiment: Experiment) -> Grid:
    """List the jobs: the settings that differ, the model, and the outcome; for a run, describe its model."""
    if experiment.kind == "run":
        record = experiment.jobs[0].record
        facts = {} if record is None else {"model": record.label, "revision": record.revision, **record.variant}
        return Grid(
            ["Property", "Value"], [[key.replace("_", " "), str(value)] for key, value in facts.items() if value]
        )
    rows = []
    for number, job in enumerate(experiment.jobs, start=1):
        model = ["-", "-"] if job.record is None else [job.record.label, job.record.revision]
        settings = [masked(str(job.settings.get(key, "-"))) for key in experiment.changed]
        rows.append([str(number), *settings, *model, job.state])
    columns = ["Job", *experiment.changed, "Model", "Revision", "State"]
    return Grid(
        columns, rows, title=f"differences between the jobs; {experiment.n_finished}/{len(experiment.jobs)} finished"
    )


def shared_settings(experiment: Experiment) -> Grid:
    """List the settings that are the same in all jobs."""
    settings = next((job.settings for job in experiment.jobs if job.settings), {})
    rows = [[key, masked(str(value))] for key, value in settings.items() if key not in experiment.changed]
    return Grid(["Setting", "Value"], rows)


def task_scores(summary: Summary) -> Grid:
    """Show tasks x models, main scores in points; a missing score says why in a word."""
    table = summary.table
    rows: list[list[str]] = []
    bold = set()
    known = {(row.label, row.task): row for row in summary.rows.itertuples()}
    tasks = summary.rows.drop_duplicates("task").sort_values(
        "type", key=lambda types: types.map(table.columns.index), kind="stable"
    )
    unscored = 0
    for task in tasks.itertuples():
        cells = [known.get((label, task.task)) for label in table.labels]
        scores = {
            label: cell.main_score
            for label, cell in zip(table.labels, cells, strict=True)
            if cell is not None and cell.main_score is not None and cell.main_score == cell.main_score
        }
        if not scores:
            unscored += 1
            continue
        static = [label for label in scores if table.kinds[label] == "static"]
        best = max(static, key=lambda label: scores[label], default=None)
        if best is not None and len(static) > 1:
            bold.add((len(rows), 2 + table.labels.index(best)))
        texts = [
            f"{100 * scores[label]:.2f}" if label in scores else f"- {cell.state if cell is not None else ''}".rstrip()
            for label, cell in zip(table.labels, cells, strict=True)
        ]
        rows.append([task.task, task.type, *texts])
    notes = ["main scores x 100, the best static model of each task in bold", summary.signature]
    if unscored:
        notes.insert(0, f"{unscored}/{len(tasks)} tasks without a score of any model are not shown")
    short = short_labels(summary.students)
    if any(short[label] != label for label in short):
        notes.insert(-1, f"distilled models without the words that all of them share: {shared_words(list(short))}")
    columns = ["Task", "Type", *(short.get(label, label) for label in table.labels)]
    return Grid(columns, rows, title="tasks x models", notes=notes, bold=frozenset(bold))


def failed_scores(summary: Summary) -> Grid | None:
    """List the scores that failed, a row per reason; None where there are none."""
    n_absent, n_all, groups = _absent(summary, "failed")
    rows = [[reason, models, str(len(tasks)), ", ".join(tasks)] for (models, reason), tasks in groups.items()]
    columns = ["Reason", "Models", "Number", "Tasks"]
    return Grid(columns, rows, title=f"{n_absent}/{n_all} scores are failed") if rows else None


def missing_scores(summary: Summary) -> list[str]:
    """Say which scores are missing, a sentence per reason."""
    n_absent, n_all, groups = _absent(summary, "missing")
    sentences = [
        f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} of {models}: {reason} ({first_of(tasks, _NAMED)})."
        for (models, reason), tasks in groups.items()
    ]
    return [f"{n_absent}/{n_all} scores are missing. {' '.join(sentences)}"] if sentences else []


def _absent(summary: Summary, state: str) -> tuple[int, int, dict[tuple[str, str], list[str]]]:
    """Return the number of scores in a state, the number of all, and the tasks by (models, reason).

    Each model and task counts once, however many jobs a model is compared with.
    """
    whose: dict[tuple[str, str], list[str]] = {}
    everybody = set(summary.table.labels)
    absent = summary.rows[summary.rows["main_score"].isna() & (summary.rows["state"] == state)]
    for score in absent.itertuples():
        reason = str(score.reason)
        # the text after the colon names the data of the task, which would make a group per task
        reason = reason.partition(": ")[0] if state == "missing" else reason
        whose.setdefault((score.task, masked(reason)), []).append(score.label)
    groups: dict[tuple[str, str], list[str]] = {}
    for (task, reason), labels in whose.items():
        everyone = f"all {len(everybody)} models" if state == "missing" else f"all {len(everybody)}"
        models = everyone if set(labels) == everybody else ", ".join(dict.fromkeys(labels))
        groups.setdefault((models, reason), []).append(task)
    return len(absent), len(everybody) * summary.rows["task"].nunique(), groups


def job_costs(experiment: Experiment) -> Grid | str:
    """Show the wall time of each job by stage, and the total; one line where no record has times."""
    rows, known = [], []
    for job in experiment.jobs:
        if (record := job.record) is None:
            continue
        seconds = {name: float(record.seconds.get(name, math.nan)) for name in (*_STAGES, "forward")}
        seconds["total"] = math.nan if record.total_seconds is None else record.total_seconds
        shown = {name: "-" if math.isnan(value) else f"{value:.1f}" for name, value in seconds.items()}
        shown["forward"] = "- cached" if record.forward_cached else shown["forward"]
        known.append(seconds)
        rows.append([experiment.title(job), *(shown[name] for name in _SHOWN)])
    if all(math.isnan(value) for seconds in known for value in seconds.values()):
        return "The cost of the jobs is not known: their records hold no times."
    totals = {name: _sum([seconds[name] for seconds in known]) for name in _SHOWN}
    notes = [
        f"{len(rows)}/{len(experiment.jobs)} jobs: prepare {totals['prepare']}, distil {totals['distil']} "
        f"(forward passes {totals['forward']}), evaluate {totals['evaluate']}, speed {totals['speed']}; "
        f"{totals['total']} in all",
        "what jobs share, as forward passes and the scores of baselines, is computed by the first job that needs it; "
        "results of earlier runs are read",
    ]
    columns = [
        "Job",
        "Prepare (s)",
        "Distil (s)",
        "of which forward pass (s)",
        "Evaluate (s)",
        "Speed (s)",
        "Total (s)",
    ]
    return Grid(columns, rows, title="wall time of each job by stage", notes=notes)


def _sum(values: Sequence[float]) -> str:
    """Format the total duration, and how many values are known where some are not."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "not known"
    return duration(sum(known)) + f" ({len(known)}/{len(values)} known)" * (len(known) < len(values))


def model_costs(summary: Summary, results: Path) -> Grid | str:
    """Show the cost of scoring each model: time, memory, texts; one line where it is not known."""
    try:
        stored = read_results(results).models
    except BenchError:
        stored = []
    by_identity = {(model.name, model.revision, model.seed): model for model in stored}
    rows, seconds, peak, n_known, n_scored = [], 0.0, 0, 0, 0
    for label, group in summary.rows.groupby("label", sort=False):
        first = group.iloc[0]
        model = by_identity.get((first["model"], first["revision"], first["seed"]))
        scored = group.loc[group["main_score"].notna(), "task"]
        costs: list[Cost | None] = [] if model is None else [model.read_cost(task) for task in scored]
        known = [cost for cost in costs if cost is not None]
        took, largest = sum(cost.seconds for cost in known), max((cost.peak_rss_bytes for cost in known), default=0)
        seconds, peak = seconds + took, max(peak, largest)
        n_known, n_scored = n_known + len(known), n_scored + len(scored)
        asked, encoded = sum(cost.texts_asked for cost in known), sum(cost.texts_encoded for cost in known)
        numbers = [f"{took:.1f}", f"{largest / 1e6:,.0f}" if largest else "-", f"{asked:,}", f"{encoded:,}"]
        rows.append([str(label), f"{len(known)}/{len(group)}", *(numbers if known else ["-"] * 4)])
    if not n_known:
        where = f"a cost in {results}" if results.is_file() else f"a file in {results / 'costs'}"
        return f"The cost of scoring is not known: none of the {n_scored} scores has {where}."
    columns = ["Model", "Tasks", "Seconds", "Peak memory (MB)", "Texts asked", "Texts encoded"]
    notes = [
        f"in all {duration(seconds)} for {n_known}/{n_scored} scores, at most {human_bytes(peak)}, in the run that "
        "computed them. "
        "Memory is the largest resident set of the process; a text that a task asks for again is not encoded again."
    ]
    return Grid(columns, rows, title="cost of scoring", notes=notes)


def speed_grid(summary: Summary) -> Grid | None:
    """Show speed and size beside score, the fastest first; None where no speed was measured."""
    if not summary.speeds:
        return None
    points = {point.label: point for point in speed_points(summary, {})}
    together = summary.timed_together
    best = {point.label for point in undominated(list(points.values()))} if together else set()
    rows: list[list[str]] = []
    bold = set()
    for label, speed in sorted(summary.speeds.items(), key=lambda item: -item[1].texts_per_second):
        if label in best:
            bold.add((len(rows), 1))
        rows.append(
            [
                label,
                f"{speed.texts_per_second:,.0f}",
                f"{speed.slowest:,.0f} - {speed.fastest:,.0f}",
                f"{speed.n_parameters / 1e6:.1f}",
                f"{speed.bytes_on_disk / 1e6:.1f}",
                f"{100 * points[label].score:.2f}" if label in points else "-",
                "-" if label not in points or not together else "no" if label in best else "yes",
            ]
        )
    notes = [summary.timing]
    if together:
        notes.insert(0, "in bold: no other model is faster beyond the spread and scores as well, or better")
    columns = ["Model", "Texts per second", "Slowest - fastest", "Parameters (M)", "On disk (MB)", "Avg", "Dominated"]
    return Grid(columns, rows, title="texts per second, size and score", notes=notes, bold=frozenset(bold))
