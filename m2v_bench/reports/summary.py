"""Summarise the records of a run or a sweep: one table of scores, the settings that vary, and comparable speeds."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from m2v_bench.config.job_names import tells_apart
from m2v_bench.errors import BenchError
from m2v_bench.reports.daggers import Daggers, daggers
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import AVERAGE, ScoreTable, score_table, to_grid
from m2v_bench.reports.signature import merged
from m2v_bench.reports.style import Look, look
from m2v_bench.results.record import RunRecord, Speed
from m2v_bench.results.sample_files import reader
from m2v_bench.results.score_files import model_folder
from m2v_bench.results.scores import unique_labels

NOT_TOGETHER = "each model was timed by itself, so that none is said to be faster than another"


@dataclass(frozen=True)
class Summary:
    """The results of a sweep's jobs, or of one run.

    Attributes:
        records: of the jobs, in the order of the sweep.
        changed: the settings that differ between the jobs.
        rows: a row per model and task under unique labels, the distilled models first.
        students: the label of each job's distilled model.
        table: models x task types.
        signature: suite, aggregation, seeds and versions.
        looks: colour and marker of the models, by label.
        speeds: the speeds that can be compared, by label: of one session on one machine, with the same texts.
        n_elsewhere: how many models were measured in another session, on another machine or other texts, and are left
            out of `speeds`.
    """

    records: Sequence[RunRecord]
    changed: Sequence[str]
    rows: pd.DataFrame
    students: Sequence[str]
    table: ScoreTable
    signature: str
    looks: Mapping[str, Look]
    speeds: Mapping[str, Speed]
    n_elsewhere: int

    @property
    def aggregation(self) -> str:
        """Aggregation of averages over several types, `micro` or `macro`."""
        return self.records[0].aggregation

    @property
    def timed_together(self) -> bool:
        """Whether the models of `speeds` were timed alternately, so that their speeds can be compared."""
        return all(speed.session is not None for speed in self.speeds.values())

    @property
    def timing(self) -> str:
        """The caption of speeds: texts, machine, and why they may not be comparable."""
        first = next(iter(self.speeds.values()))
        here = first.hardware
        parts = [
            f"one thread of {here['processor']} ({here['cores']} cores, {here['system']}); median, slowest and fastest "
            f"of the rounds over {first.texts} texts of {first.mean_characters:.0f} characters on average",
            "timed together, alternately" if self.timed_together else NOT_TOGETHER,
        ]
        if any(speed.loaded for speed in self.speeds.values()):
            parts.append("THE MACHINE WAS LOADED by other processes: not to be relied on")
        if self.n_elsewhere:
            parts.append(f"{self.n_elsewhere} models were measured in another session or elsewhere and are not shown")
        return "; ".join(parts)

    @property
    def plotted(self) -> str:
        """The caption of a plot: the signature, and the number of tasks where it is not all of them."""
        table = self.table
        n_all = table.cells[table.labels[0], AVERAGE].n_all
        common = f"; plotted over the {table.n_common} of {n_all} tasks that all models have"
        return self.signature + common * (table.n_common != n_all)

    @property
    def references(self) -> list[str]:
        """The labels of the models that were not distilled here and can be plotted."""
        return [
            label
            for label in self.table.labels
            if label not in self.students and not math.isnan(self.table.common.get(label, math.nan))
        ]


def record_rows(record: RunRecord) -> pd.DataFrame:
    """Return a row per model and task of one run."""
    return pd.DataFrame([score.as_row() for score in record.scores]).assign(teacher=record.teacher)


def record_table(record: RunRecord) -> ScoreTable:
    """Return the table of one run."""
    return score_table(record_rows(record), record.aggregation)


def summarise(records: Sequence[RunRecord]) -> Summary:
    """Summarise the records of a sweep's jobs, or the record of one run.

    Args:
        records: one or more, in the order of the sweep.
    """
    changed = [
        key
        for key in records[0].settings
        if len({str(record.settings.get(key)) for record in records}) > 1
        and not key.startswith("baselines.")  # baselines have rows of their own and change no other row
        and tells_apart(key)  # a sweep may be continued with another launcher
    ]
    rows, labels = _rows(records, changed)
    students = [labels[number, record.label] for number, record in enumerate(records)]
    variants = dict(zip(students, (record.variant for record in records), strict=True))
    owners = rows.drop_duplicates("label")
    looks = {
        row.label: look(str(row.model), str(row.kind), variants.get(str(row.label))) for row in owners.itertuples()
    }
    speeds, n_elsewhere = _speeds(records, labels)
    return Summary(
        records=records,
        changed=changed,
        rows=rows,
        students=students,
        table=score_table(rows, records[0].aggregation),
        signature=merged(record.signature for record in records),
        looks=looks,
        speeds=speeds,
        n_elsewhere=n_elsewhere,
    )


# Settings that change the scores of every model, not only of the distilled one.
_COMMON_SETTINGS = ("seed", "suite.", "hub_dir")


def _rows(records: Sequence[RunRecord], changed: Sequence[str]) -> tuple[pd.DataFrame, dict[tuple[int, str], str]]:
    """Return the rows of all jobs under unique labels, and these labels by job and the label in its record.

    The distilled models come first, in the order of the sweep, then the baselines.
    """
    parts = []
    for number, record in enumerate(records):
        settings = record.settings
        suffix = "".join(f" {key}={settings[key]}" for key in changed if key.startswith(_COMMON_SETTINGS))
        rows = record_rows(record)
        rows["student"] = rows["label"] == record.label
        rows["origin"] = [(number, label) for label in rows["label"]]
        rows["label"] += suffix
        rows["seed"] = record.seed
        rows["teacher"] = None if record.teacher is None else record.teacher + suffix
        parts.append(rows)
    rows = pd.concat(parts)
    # two base models may share their last name, and then their label
    identities = list(zip(rows["label"], rows["revision"], strict=True))
    named = unique_labels({(label, revision): (label, revision[:6]) for label, revision in identities})
    rows["label"] = [named[identity] for identity in identities]
    labels = dict(zip(rows["origin"], rows["label"], strict=True))
    rows = rows.sort_values("student", ascending=False, kind="stable", ignore_index=True)
    rows = rows.drop(columns=["student", "origin"])
    # a baseline of several jobs counts once, with a score where any job has one
    known = rows.sort_values("main_score", key=lambda scores: scores.isna(), kind="stable")
    return known.drop_duplicates(["label", "task"]).sort_index(), labels


def _speeds(records: Sequence[RunRecord], labels: Mapping[tuple[int, str], str]) -> tuple[dict[str, Speed], int]:
    """Return the speeds of the session, machine and texts that most models share, and the number of other models."""
    speeds: dict[str, Speed] = {}
    for number, record in enumerate(records):
        for speed in record.speed:
            speeds.setdefault(labels.get((number, speed.label), speed.label), speed)
    circumstances = {
        label: json.dumps([speed.hardware, speed.texts, speed.mean_characters, speed.session], sort_keys=True)
        for label, speed in speeds.items()
    }
    if not speeds:
        return {}, 0
    ((commonest, n),) = Counter(circumstances.values()).most_common(1)
    return {label: speed for label, speed in speeds.items() if circumstances[label] == commonest}, len(speeds) - n


def with_daggers(summary: Summary, tested: Daggers, *, title: str) -> Grid:
    """Return the table of a sweep or a run, with daggers."""
    return to_grid(summary.table, title=title, signature=summary.signature, marks=tested.marks, notes=tested.notes)


def daggers_of(summary: Summary, results: Path) -> Daggers:
    """Test the models of the table; damaged files cost the daggers, not the table."""
    try:
        folders = {
            row.label: model_folder(row.model, row.revision, row.seed, results)
            for row in summary.rows.drop_duplicates("label").itertuples()
        }
    except BenchError as error:
        return Daggers(notes=[f"Not tested for significance: {error}"])
    read = reader(results, folders, lambda label, task: None)
    return daggers(summary.rows, summary.table, summary.aggregation, read)
