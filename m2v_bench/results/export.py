"""`m2v-bench export`: write the scores and records of a results folder, or of one experiment, to one file."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from m2v_bench.errors import BenchError
from m2v_bench.results.experiment import Experiment, experiments, find_experiment
from m2v_bench.results.long_table import write_table
from m2v_bench.results.record import RunRecord, Score
from m2v_bench.results.sample_files import reader
from m2v_bench.results.scores import RecordFacts, Results, StoredModel, read_results, with_unique_labels
from m2v_bench.stats.aggregates import cqadupstack
from m2v_bench.stats.resampling import resample
from m2v_bench.system.formatting import masked
from m2v_bench.tasks.samples import SAME_SCORE

_REPLICATES = 1_000  # a standard error is then known to 2 %


@dataclass(frozen=True)
class Exported:
    """A written file.

    Attributes:
        path: the file.
        n_models, n_rows, n_experiments: what it holds.
        notes: result files and records that were left out.
    """

    path: Path
    n_models: int
    n_rows: int
    n_experiments: int
    notes: Sequence[str]


def export(path: Path, out: Path | None = None, experiment: str | None = None) -> Exported:
    """Write a row per model, task, split and subset, and the records of the sweeps and runs.

    Args:
        path: a results folder, or an exported table.
        out: the file; None means NAME.parquet in the folder, NAME being that of the experiment or `results`.
        experiment: name of a sweep or run, or its folder, whose models and tasks alone are written.

    Raises:
        BenchError: when there are no scores or no such experiment, or the file is `path` or cannot be written.
    """
    if experiment is None:
        results, chosen = read_results(path), experiments(path)
        models: Sequence[StoredModel] = results.models
    else:
        chosen = [find_experiment(experiment, path)]
        results = read_results(chosen[0].results)
        models = _models_of(chosen[0], results)
    folder = path.parent if path.is_file() else path
    target = out or folder / f"{chosen[0].name if experiment is not None else 'results'}.parquet"
    if target.suffix != ".parquet":
        raise BenchError(f"--out {target}: must end in .parquet")
    if target.resolve() == path.resolve():
        raise BenchError(f"--results {path}: is the file to write; name another with --out FILE.parquet")
    rows = _rows(models, results, None if experiment is None else _tasks_of(chosen[0]))
    if not rows:
        raise BenchError(f"{experiment}: none of its scores are in {results.path}")
    chosen, remarks = _with_standard_errors(chosen, models, results)
    try:
        write_table(target, rows, [_without_passwords(item.to_json()) for item in chosen])
    except OSError as error:
        raise BenchError(f"--out {target}: cannot be written ({error.strerror})") from error
    damaged = [f"left out, cannot be read: {file}" for model in models for file in model.damaged]
    notes = [*results.notes, *remarks, *damaged]
    return Exported(target, len({row["folder"] for row in rows}), len(rows), len(chosen), notes)


def _with_standard_errors(
    chosen: Sequence[Experiment], models: Sequence[StoredModel], results: Results
) -> tuple[list[Experiment], list[str]]:
    """Add standard errors to the records' scores, as the file holds no samples; also return remarks."""
    readable = {model.label: model for model in models if not model.damaged}
    if not (results.path / "samples").is_dir() or not readable:
        return list(chosen), []
    scores = {
        label: {task: parts.mean for task, parts in model.scored_tasks().items()} for label, model in readable.items()
    }
    read = reader(results.path, {label: model.folder for label, model in readable.items()}, lambda label, task: None)
    resampling = resample(pd.DataFrame.from_dict(scores, orient="index"), read, _REPLICATES)
    errors = {
        (readable[label].name, readable[label].revision, readable[label].seed, task): (scores[label][task], error)
        for (label, task), error in resampling.errors.items()
    }

    def with_error(row: Score, seed: int) -> Score:
        stored, error = errors.get((row.model, row.revision, seed, row.task), (math.nan, None))
        # the result file may hold more splits or subsets than the record's score averages over
        same = row.main_score is not None and abs(row.main_score - stored) <= SAME_SCORE
        return replace(row, standard_error=error) if same else row

    def with_errors(record: RunRecord) -> RunRecord:
        return replace(record, scores=[with_error(row, record.seed) for row in record.scores])

    return [
        replace(
            item,
            jobs=[job if job.record is None else replace(job, record=with_errors(job.record)) for job in item.jobs],
        )
        for item in chosen
    ], list(resampling.notes)


def _models_of(experiment: Experiment, results: Results) -> list[StoredModel]:
    """Return the models that the jobs of an experiment scored, under the labels of its records."""
    facts = RecordFacts()
    wanted = set()
    for record in experiment.records:
        facts.add(record)
        wanted |= {(score.model, score.revision, record.seed) for score in record.scores}
    models = [model for model in results.models if (model.name, model.revision, model.seed) in wanted]
    return with_unique_labels(
        [
            replace(model, label=facts.labels[identity], kind=facts.kinds[identity])
            for model in models
            if (identity := (model.name, model.revision))
        ]
    )


def _tasks_of(experiment: Experiment) -> set[str]:
    """Return the tasks of an experiment, and those that its aggregates are made of."""
    tasks = {score.task for record in experiment.records for score in record.scores}
    return tasks | {part for whole, parts in cqadupstack().items() if whole in tasks for part in parts}


def _rows(models: Sequence[StoredModel], results: Results, only: set[str] | None) -> list[dict[str, Any]]:
    """Return the rows of the table; `only` restricts them to these tasks."""
    types = results.task_types({task for model in models for task in model.tasks})
    rows = []
    for model in models:
        about = {
            "model": model.name,
            "revision": model.revision,
            "label": model.label,
            "kind": model.kind,
            "folder": model.folder.as_posix(),
            "variant": json.dumps(dict(model.variant)),
        }
        for task, scores in model.tasks.items():
            if only is not None and task not in only:
                continue
            cost = model.read_cost(task)
            torch_versions = model.torch_versions.get(task) or model.torch_versions.get("") or ()
            common = about | {
                "task": task,
                "type": types[task],
                "torch_versions": json.dumps(sorted(torch_versions)),
                "dataset_revision": scores.dataset_revision,
                "mteb_version": scores.mteb_version,
                "seconds": scores.seconds,
                "cost_seconds": None if cost is None else cost.seconds,
                "peak_rss_bytes": None if cost is None else cost.peak_rss_bytes,
                "texts_asked": None if cost is None else cost.texts_asked,
                "texts_encoded": None if cost is None else cost.texts_encoded,
            }
            for part, score in scores.parts.items():
                split, _, subset = part.partition("/")
                rows.append({**common, "split": split, "subset": subset, "main_score": score})
    return rows


def _without_passwords(value: Any) -> Any:
    """Mask the passwords that addresses in settings and commands may hold."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, Mapping):
        return {name: _without_passwords(item) for name, item in value.items()}
    return [_without_passwords(item) for item in value] if isinstance(value, list | tuple) else value
