"""What a tracking store gets of a run: metrics, description, settings of a failed job. No store is imported here."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from m2v_bench.cache import content_hash
from m2v_bench.config.check import flat_settings
from m2v_bench.config.renames import current_settings
from m2v_bench.reports.daggers import Daggers
from m2v_bench.reports.outcome import outcome
from m2v_bench.reports.score_table import AVERAGE, to_grid
from m2v_bench.reports.summary import record_table, summarise
from m2v_bench.results.jobs import ERROR, TRACEBACK
from m2v_bench.results.record import RECORD, RunRecord, Speed

# file in the run's folder -> folder of the artifact
ARTIFACTS = {
    "config.yaml": "",
    "environment.json": "",
    RECORD: "",
    ERROR: "",
    TRACEBACK: "",
    "table.md": "tables",
    "scores.csv": "tables",
    "speed_vs_score.png": "figures",
    "speed_vs_score.svg": "figures",
}


@dataclass(frozen=True)
class Baseline:
    """A model that a distilled one is compared with.

    Attributes:
        id: the same for all runs of a sweep that were scored alike, and so for single runs.
        label, kind: as in `Score`.
        settings: the model and the suite.
        metrics: as of the distilled model.
    """

    id: str
    label: str
    kind: str
    settings: Mapping[str, str]
    metrics: Mapping[str, float]


def baselines_of(record: RunRecord, group: str) -> Sequence[Baseline]:
    """Return what a run's model is compared with; `group` names its sweep, or is empty."""
    baselines = []
    for label in dict.fromkeys(score.label for score in record.scores if score.label != record.label):
        first = next(score for score in record.scores if score.label == label)
        speed = next((row for row in record.speed if row.label == label), None)
        identity = content_hash([first.model, first.revision, record.signature, sorted(record.datasets), group])
        metrics = known_numbers(model_metrics(record, label, speed))
        metrics.pop("average_of_teacher", None)  # jobs of a sweep may have several teachers
        settings = {"model": label, "model_name": first.model, "suite.name": record.suite}
        baselines.append(Baseline(identity, label, first.kind, settings, metrics))
    return baselines


def settings_in(folder: Path) -> dict[str, Any]:
    """Return the settings of a job that left no record; empty where it wrote none."""
    if not (folder / "config.yaml").is_file():
        return {}
    config = OmegaConf.load(folder / "config.yaml")
    assert isinstance(config, DictConfig)
    return current_settings(flat_settings(config))


def metrics_of(record: RunRecord) -> dict[str, float]:
    """Return the distilled model's metrics; stores list them by name, so what is compared comes first."""
    size, speed = record.size, next((row for row in record.speed if row.label == record.label), None)
    metrics = model_metrics(record, record.label, speed)
    if size is not None:
        metrics |= {"size.dims": size.dims, "size.parameters": size.n_parameters, "size.bytes": size.bytes_on_disk}
    metrics |= {f"time.{stage}": value for stage, value in record.seconds.items()}
    metrics["time.peak_rss_bytes"] = (
        max((score.peak_rss_bytes or 0 for score in record.student_scores), default=0) or None
    )
    return known_numbers(metrics)


def model_metrics(record: RunRecord, label: str, speed: Speed | None) -> dict[str, float | None]:
    """Return averages, size, speed and scores of one model of a record; None where unknown."""
    table = record_table(record)
    metrics: dict[str, float | None] = {"average": table.cells[label, AVERAGE].value}
    metrics |= {f"average.{name}": table.cells[label, name].value for name in table.columns if name != AVERAGE}
    metrics["average_of_teacher"] = table.kept[label]
    if speed is not None:
        metrics |= {
            "size.dims": speed.dims or None,
            "size.parameters": speed.n_parameters or None,
            "size.bytes": speed.bytes_on_disk or None,
            "speed.texts_per_second": speed.texts_per_second,
        }
    return metrics | {f"task/{score.task}": score.main_score for score in record.scores if score.label == label}


def known_numbers(metrics: Mapping[str, float | None]) -> dict[str, float]:
    """Leave out what is unknown."""
    return {name: float(value) for name, value in metrics.items() if value is not None and not np.isnan(value)}


def where_to_look(experiment: Path) -> str:
    """Name the leaderboard and the report of a run or a sweep, by the folder of its files."""
    results = experiment.parent.parent.resolve()
    report = shlex.join(["m2v-bench", "report", experiment.name, "--results", str(results)])
    return f"All models on one page: `{results / 'leaderboard.html'}`. A report: `{report}`."


def description_of(record: RunRecord, folder: Path) -> str:
    """Return Markdown for the run's page: what came out, the table, and how to see more."""
    experiment = folder if folder.parent.name == "runs" else folder.parent  # a job is below its sweep
    summary = summarise([record])
    lines = [*outcome(summary, Daggers()), "", to_grid(summary.table, signature=summary.signature).markdown()]
    lines.append(where_to_look(experiment))
    return "\n".join(lines)


def training_curve(record: RunRecord) -> list[tuple[str, float, int]]:
    """Return the losses of the training as (name, loss, epoch)."""
    losses, held_out = record.training.get("losses", []), record.training.get("held_out", [])
    curve = [("training.loss", loss, epoch) for epoch, loss in enumerate(losses, start=1)]
    return curve + [("training.held_out_loss", loss, epoch) for epoch, loss in enumerate(held_out)]
