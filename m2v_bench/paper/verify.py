"""Compare a run's scores with the published ones of the same model and task: green, red, or not comparable."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from m2v_bench.errors import BenchError
from m2v_bench.paper.published import published_scores
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.results_table import versions_of
from m2v_bench.results.experiment import find_experiment, results_above
from m2v_bench.results.record import RECORD, RunRecord, read_record
from m2v_bench.results.score_files import TaskScores
from m2v_bench.results.scores import StoredModel, read_results

# How far a score may be from the published one, 0 to 1, by task type, and why.
TOLERANCES = {
    "Classification": (0.0005, "the seed fixes the training texts; rounding may flip single test texts"),
    # Over 30 seeds all-MiniLM-L6-v2 scores 0.449 to 0.472 on TwentyNewsgroupsClustering, standard deviation 0.0055;
    # this is 2.6 standard deviations of the difference of two draws.
    "Clustering": (0.02, "k-means starts from a draw, and the published start was another"),
    "PairClassification": (0.0005, "no draws: rounding of embeddings"),
    "Reranking": (0.0005, "no draws: rounding of embeddings, order of equal candidates"),
    "Retrieval": (0.0005, "no draws: rounding of embeddings, order of equal documents"),
    "STS": (0.0005, "no draws: rounding of embeddings"),
    "Summarization": (0.0005, "no draws: rounding of embeddings, ties in ranks over few summaries"),
}


@dataclass(frozen=True)
class Line:
    """A published score beside the run's score.

    Attributes:
        model, label: name and label of the model.
        task, type: the task.
        part: `split/subset`.
        published, here: main scores, 0 to 1; NaN where there is none.
        reason: why the two cannot be compared; None when they can.
        remark: a difference that was ignored on request.
    """

    model: str
    label: str
    task: str
    type: str
    part: str
    published: float
    here: float
    reason: str | None = None
    remark: str | None = None

    @property
    def tolerance(self) -> float:
        """The largest allowed difference."""
        return TOLERANCES[self.type][0]

    @property
    def verdict(self) -> str:
        """`green`, `red` or `not comparable`."""
        if self.reason:
            return "not comparable"
        return "green" if abs(self.here - self.published) <= self.tolerance else "red"


@dataclass(frozen=True)
class Verification:
    """Result of `verify`.

    Attributes:
        lines: a line per published score of a model and task that the run has.
        notes: scores that the run lacks, and scores that nobody has published.
        signature: suite, seeds and versions of the run.
        gone: result files that are damaged or missing, without which the run is not verified.
    """

    lines: Sequence[Line]
    notes: Sequence[str]
    signature: str
    gone: Sequence[str] = ()

    @property
    def count(self) -> str:
        """The number of lines by verdict."""
        verdicts = [line.verdict for line in self.lines]
        return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("green", "red", "not comparable"))

    def judge(self) -> None:
        """Pass when there are comparable scores and all of them are green.

        Raises:
            BenchError: when one is red, a result file is gone, or nothing is comparable.
        """
        red = [line for line in self.lines if line.verdict == "red"]
        if red:
            shown = [f"{line.task}, {line.model}: {line.here:.5f}, published {line.published:.5f}" for line in red]
            raise BenchError(
                "\n".join([f"red: {len(red)} of {len(self.lines)} scores are not the published ones", *shown])
            )
        if self.gone:
            raise BenchError(
                "\n".join(
                    [f"result files that are gone or damaged: {len(self.gone)}; run the same command again", *self.gone]
                )
            )
        if not any(line.verdict == "green" for line in self.lines):
            raise BenchError(f"nothing is comparable: {self.count}. No score was verified.")


def verify(place: Path, run: str | None = None, *, any_revision: bool = False) -> Verification:
    """Compare the scores of a run, or of all runs in a results folder, with the published ones.

    Args:
        place: folder of a run, a results folder, or an exported table.
        run: name of a run in the results folder or table; None for all runs.
        any_revision: judge a score on another dataset revision than the published one, too.

    Raises:
        BenchError: when there is no such run, or its result files are gone.
    """
    path, record = _find(place, run)
    results = read_results(path)
    models = results.models
    published = published_scores()
    lines: list[Line] = []
    notes = [] if record is None else _failed(record)
    for model in models:
        recorded = dict.fromkeys(model.tasks) if record is None else _recorded(model, record)
        known = published[published["model"] == model.name]
        tasks = [task for task in model.tasks if task in recorded]
        if without := [task for task in tasks if task not in set(known["task"])]:
            notes.append(f"no published score of {model.label} on {', '.join(without)}")
        types = results.task_types(tasks)
        for task in tasks:
            rows = known[known["task"] == task]
            lines += _lines(model, task, types[task], rows, recorded[task], any_revision=any_revision)
    suite = "" if record is None else f"suite {record.suite}; "
    run_models = models if record is None else [model for model in models if _recorded(model, record)]
    # the run's own signature is about averages in points
    signature = f"{suite}each task by itself, main scores 0 to 1; {versions_of(run_models)}"
    gone = [str(file) for model in models for file in model.damaged] if record is None else _gone(models, record)
    return Verification(lines, notes, signature, gone)


def _find(place: Path, run: str | None) -> tuple[Path, RunRecord | None]:
    """Return the results to read, and the record of the run to judge; None for all of them."""
    if run is not None:
        experiment = find_experiment(run, place)
        records = experiment.all_records()
        if len(records) != 1:
            raise BenchError(
                f"{run}: a sweep of {len(records)} jobs; give the folder of one job, or no name to judge all of {place}"
            )
        return experiment.results, records[0]
    if place.is_file() or (not (place / RECORD).is_file() and (place / "results").is_dir()):
        return place, None
    if not (place / RECORD).is_file():
        raise BenchError(
            f"{place}: neither a finished run (no {RECORD} in it) nor a results folder (no results/ in it)"
        )
    if (record := read_record(place)) is None:
        raise BenchError(f"{place / RECORD} cannot be read; start the run again")
    folders = [results_above(place), Path(record.settings["results_dir"])]
    for folder in folders:
        if folder is not None and (folder / "results").is_dir():
            return folder, record
    raise BenchError(f"{place}: its result files are not in {folders[-1]}")


def _recorded(model: StoredModel, record: RunRecord) -> dict[str, float]:
    """Return the scores that a run recorded of a model, by task; none when the results are of another seed."""
    if model.seed != record.seed:
        return {}
    return {
        score.task: score.main_score
        for score in record.scores
        if (score.model, score.revision) == (model.name, model.revision) and score.main_score is not None
    }


def _gone(models: Sequence[StoredModel], record: RunRecord) -> list[str]:
    """Return the scores that a run recorded and that no result file has any more."""
    there = {(model.name, model.revision, task) for model in models for task in model.tasks if _recorded(model, record)}
    return [
        f"{score.task}, {score.model}"
        for score in record.scores
        if score.main_score is not None and (score.model, score.revision, score.task) not in there
    ]


def _failed(record: RunRecord) -> list[str]:
    return [
        f"the run has no score of {score.label} on {score.task} ({score.state}: {score.reason})"
        for score in record.scores
        if score.main_score is None
    ]


def _lines(
    model: StoredModel, task: str, type_: str, published: pd.DataFrame, recorded: float | None, *, any_revision: bool
) -> Iterator[Line]:
    scores = model.tasks[task]
    here = scores.parts
    parts = [f"{row.split}/{row.subset}" for row in published.itertuples()]
    shared = set(parts) & set(here)
    for part, row in zip(parts, published.itertuples(), strict=True):
        if shared and part not in shared:
            continue
        score = here.get(part, float("nan"))
        revision = _revision(scores, str(row.dataset_revision))
        reason = _reason(model, part, here) or (None if any_revision else revision)
        if reason is None and recorded is not None and len(here) == 1 and abs(score - recorded) > 1e-9:
            reason = f"the result file was written again after the run, which got {recorded:.5f}"
        remark = None if reason else revision
        yield Line(model.name, model.label, task, type_, part, row.main_score, score, reason, remark)


def _reason(model: StoredModel, part: str, here: Mapping[str, float]) -> str | None:
    if part not in here:
        return f"published on {part}, here {', '.join(sorted(here))}"
    if model.seed != 42:
        return f"drawn with seed {model.seed}, published with 42"
    return "the score is not a number" if np.isnan(here[part]) else None


def _revision(scores: TaskScores, published: str) -> str | None:
    """Describe how the dataset's revision differs from the published one; None when it does not."""
    if scores.dataset_revision == published:
        return None
    if not published:
        return "the published score names no dataset revision"
    return f"published on dataset revision {published[:8]}, here {scores.dataset_revision[:8]}"


def verify_grid(verification: Verification, *, title: str = "") -> Grid:
    """Show the lines as a table, red ones in bold, with reasons and tolerances below."""
    rows = [
        [
            line.label,
            f"{line.task} ({line.part})",
            f"{line.published:.5f}",
            "-" if np.isnan(line.here) else f"{line.here:.5f}",
            "-" if np.isnan(line.here) else f"{round(line.here - line.published, 5) + 0.0:+.5f}",
            f"{line.tolerance:g}",
            line.verdict,
        ]
        for line in verification.lines
    ]
    types = [name for name in TOLERANCES if name in {line.type for line in verification.lines}]
    notes = [f"{line.task} ({line.part}): {line.reason}" for line in verification.lines if line.reason]
    notes += [f"{line.task} ({line.part}), judged anyway: {line.remark}" for line in verification.lines if line.remark]
    notes += verification.notes
    notes += [f"tolerance of {name} {TOLERANCES[name][0]:g}: {TOLERANCES[name][1]}" for name in types]
    bold = frozenset(
        (number, len(_HEADER) - 1) for number, line in enumerate(verification.lines) if line.verdict == "red"
    )
    return Grid(_HEADER, rows, title=title, notes=[*notes, verification.count, verification.signature], bold=bold)


_HEADER = ("Model", "Task", "Published", "Here", "Difference", "Tolerance", "Verdict")
