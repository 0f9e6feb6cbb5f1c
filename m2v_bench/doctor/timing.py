"""Estimate the duration of a run from times that earlier runs recorded, or roughly from the number of characters."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from mteb.abstasks import AbsTask

from m2v_bench.doctor.task_statistics import n_characters
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.mteb_encoder import model_meta
from m2v_bench.evaluation.store import Store
from m2v_bench.models.model import Model
from m2v_bench.results.record import Speed
from m2v_bench.results.score_files import kind_of, read_meta, read_tasks, score_folders

# Characters per second on two cores, for a transformer of this many parameters. They fit the sum over the MTEB tasks of
# the paper; a single task, as a classification with its training texts, may take ten times as long.
_CHARACTERS = {"transformer": 20_000.0, "static": 4e6, "lexical": 1e6}
_PARAMETERS = 22.7e6
ROUGH = "a rough estimate from the number of characters"


def rough(task: AbsTask, kind: str, n_parameters: float | None = None) -> float | None:
    """Return roughly how many seconds a model needs for a task, by its number of characters; None where it is unknown.

    Args:
        task: the task.
        kind: of the model, as in `Model`.
        n_parameters: of a transformer; unknown ones count as MiniLM-L6's.
    """
    characters = n_characters(task, training=False)
    if characters is None:
        return None
    size = (n_parameters or _PARAMETERS) / _PARAMETERS if kind == "transformer" else 1.0
    return characters / _CHARACTERS.get(kind, _CHARACTERS["static"]) * size


@dataclass(frozen=True)
class Estimate:
    """Estimated seconds of a score, and the source of the estimate."""

    seconds: float
    source: str


@dataclass
class Records:
    """Times and speeds recorded in `results_dir`.

    Attributes:
        results_dir: the folder.
        seconds: evaluation times by (task, kind of model, model).
        speeds: texts per second by model, then by file name of the record (suite and machine).
    """

    results_dir: Path
    seconds: dict[tuple[str, str, str], list[float]] = field(default_factory=dict)
    speeds: dict[str, dict[str, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, results_dir: Path) -> "Records":
        """Read all times; skip unreadable files."""
        records = cls(results_dir)
        for folder in score_folders(results_dir / "results"):
            try:
                meta = read_meta(folder)
            except BenchError:
                continue
            model = kind_of(meta), str(meta["name"])
            for task, scores in read_tasks(folder)[0].items():
                if scores.seconds is not None and math.isfinite(scores.seconds):
                    records.seconds.setdefault((task, *model), []).append(scores.seconds)
        for path in sorted((results_dir / "speed").rglob("*.json")):
            try:
                speed = Speed.from_json(json.loads(path.read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError, TypeError):  # `m2v-bench speed` writes other files there
                continue
            records.speeds.setdefault(speed.model, {})[path.name] = speed.texts_per_second
        return records

    def estimate(self, task: str, kind: str, model: str) -> Estimate | None:
        """Return the median time of the model on the task, else of models of its kind; None if none is recorded.

        Times of other models are scaled by texts per second if both have a speed record of one suite and machine.
        """
        same = self.seconds.get((task, kind, model))
        if same:
            return Estimate(median(same), "recorded for the same model")
        others = {name: median(times) for (of, like, name), times in self.seconds.items() if (of, like) == (task, kind)}
        scaled = [
            seconds * self.speeds[name][file] / rate
            for name, seconds in others.items()
            for file, rate in self.speeds.get(model, {}).items()
            if file in self.speeds.get(name, {})
        ]
        if scaled:
            return Estimate(median(scaled), f"of other {kind} models, scaled by texts per second")
        return Estimate(median(others.values()), f"of other {kind} models, as recorded") if others else None


def forecast(
    records: Records, task: AbsTask, models: Sequence[Model], *, seed: int
) -> tuple[list[Estimate | None], int]:
    """Return an estimate for each missing score, and the number of existing scores.

    Without a recorded time, the estimate is a rough one by the number of characters, or None where it is unknown.
    Models that do not support the task are skipped.
    """
    store = Store(records.results_dir)
    models = [model for model in models if not model.cannot(task.metadata.type)]
    open_models = [model for model in models if store.complete(task, model_meta(model, seed=seed)) is None]
    estimates = []
    for model in open_models:
        estimate = records.estimate(task.metadata.name, model.kind, model.name)
        if estimate is None and (seconds := rough(task, model.kind, model.n_parameters)) is not None:
            estimate = Estimate(seconds, ROUGH)
        estimates.append(estimate)
    return estimates, len(models) - len(open_models)
