"""Log a finished or failed job as an MLflow run."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param
from mlflow.pyfunc.model import PythonModel

from m2v_bench.cache import file_sha256
from m2v_bench.config.schema import TrackingConfig
from m2v_bench.results.jobs import ERROR
from m2v_bench.results.record import RECORD, RunRecord, read_record
from m2v_bench.system.version import __version__
from m2v_bench.tracking.mlflow_store import FOLDER, MAX_TAG, RESULTS, Opened, folder_tags, name_of, opened
from m2v_bench.tracking.run_content import (
    ARTIFACTS,
    baselines_of,
    description_of,
    metrics_of,
    settings_in,
    training_curve,
)

# limits of the strictest MLflow store
_MAX_PARAM = 6000  # characters of a parameter
_MAX_DIGEST = 36  # characters of a dataset digest
_BATCH = 100  # entities per request
_PARENT = "mlflow.parentRunId"
_CONTENT = "m2v_bench.content"  # tag: hash of the logged files


class StaticModelFlavour(PythonModel):
    """MLflow flavour of a static model: `predict` takes texts (a list or a column) and returns float32 embeddings."""

    def load_context(self, context: Any) -> None:
        """Load the model from the run's artifacts."""
        from m2v_bench.inference.static_model import StaticModel

        self.model = StaticModel.from_pretrained(context.artifacts["model"])

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> np.ndarray:
        """Embed the texts: float32 array of shape (texts, dims)."""
        return self.model.encode(model_input)


def log_run(config: TrackingConfig, folder: Path, *, sweep_dir: Path | None = None) -> str:
    """See `tracking.log_run`; the run is nested in the sweep's run."""
    record = read_record(folder)
    content = "-".join(file_sha256(folder / name)[:16] for name in (RECORD, ERROR) if (folder / name).is_file())
    with opened(config) as store:
        known = store.runs_of(folder)
        parents = store.runs_of(sweep_dir) if sweep_dir is not None else []
        nested = {_PARENT: str(parents[0].info.run_id)} if parents else {}
        for run in known:
            if run.data.tags.get(_CONTENT) == content and run.info.status in ("FINISHED", "FAILED"):
                if nested and run.data.tags.get(_PARENT) != nested[_PARENT]:
                    # logged when the sweep's run did not exist or was another one
                    store.client.set_tag(run.info.run_id, _PARENT, nested[_PARENT])
                return str(run.info.run_id)
        for run in known:  # incomplete because a process died, or from an earlier start of the job
            store.client.delete_run(run.info.run_id)
        tags = {**folder_tags(folder), _CONTENT: content, **nested}
        if record is None:
            return _log_failed(store, folder, tags)
        return _log_record(store, folder, record, tags, log_model=config.log_model)


def _log_record(store: Opened, folder: Path, record: RunRecord, tags: dict[str, str], *, log_model: bool) -> str:
    client = store.client
    started, ended = (None if time is None else int(time * 1000) for time in (record.started, record.ended))
    tags = {**tags, **_tags(record), "mlflow.note.content": description_of(record, folder)[:MAX_TAG]}
    run = client.create_run(store.experiment, start_time=started, run_name=record.label, tags=tags)
    run_id = str(run.info.run_id)
    _log_params(store, run_id, record.settings)
    metrics = [Metric(key, value, ended or 0, 0) for key, value in metrics_of(record).items()]
    metrics += [Metric(name, loss, ended or 0, epoch) for name, loss, epoch in training_curve(record)]
    _log_metrics(store, run_id, metrics)
    client.log_inputs(run_id, datasets=_inputs(record))
    _log_files(store, run_id, folder)
    if log_model and (folder / "model").is_dir():
        _log_model(run_id, folder / "model")
    _log_baselines(store, folder, record, {key: value for key, value in tags.items() if key == _PARENT})
    client.set_terminated(run_id, "FAILED" if record.failed else "FINISHED", end_time=ended)
    return run_id


def _log_failed(store: Opened, folder: Path, tags: dict[str, str]) -> str:
    """Log a job without a record: its settings, if it wrote them, and the error."""
    path = folder / ERROR
    message, ended = path.read_text(encoding="utf-8"), int(path.stat().st_mtime * 1000)
    tags = {**tags, "error": message[:MAX_TAG]}
    run = store.client.create_run(store.experiment, start_time=ended, run_name=folder.name, tags=tags)
    run_id = str(run.info.run_id)
    _log_params(store, run_id, settings_in(folder))
    _log_files(store, run_id, folder)
    store.client.set_terminated(run_id, "FAILED", end_time=ended)
    return run_id


def _log_params(store: Opened, run_id: str, settings: Mapping[str, Any]) -> None:
    params = [Param(key, str(value)[:_MAX_PARAM]) for key, value in settings.items()]
    for start in range(0, len(params), _BATCH):
        store.client.log_batch(run_id, params=params[start : start + _BATCH])


def _log_metrics(store: Opened, run_id: str, metrics: Sequence[Metric]) -> None:
    for start in range(0, len(metrics), _BATCH):
        store.client.log_batch(run_id, metrics=metrics[start : start + _BATCH])


def _log_files(store: Opened, run_id: str, folder: Path) -> None:
    for name, target in ARTIFACTS.items():
        if (folder / name).is_file():
            store.client.log_artifact(run_id, str(folder / name), target)


def _log_baselines(store: Opened, folder: Path, record: RunRecord, parent: Mapping[str, str]) -> None:
    """Log the models that the distilled one is compared with, once per sweep, or once for single runs."""
    started, ended = (None if time is None else int(time * 1000) for time in (record.started, record.ended))
    for baseline in baselines_of(record, name_of(folder).rpartition("/")[0]):
        place = {FOLDER: f"baselines/{baseline.id}", RESULTS: folder_tags(folder)[RESULTS]}
        known = store.runs_with(place)
        if any(set(baseline.metrics) <= set(run.data.metrics) for run in known):
            continue
        for run in known:  # with fewer scores, or without a speed
            store.client.delete_run(run.info.run_id)
        tags = {
            **place,
            "kind": baseline.kind,
            "model": baseline.label,
            "suite": record.suite,
            "signature": record.signature,
            "mlflow.source.name": "python -m m2v_bench",
            "mlflow.note.content": f"{baseline.label}, to compare the distilled models of `{record.suite}` with.",
            **parent,
        }
        made = store.client.create_run(store.experiment, start_time=started, run_name=baseline.label, tags=tags)
        run_id = str(made.info.run_id)
        _log_params(store, run_id, baseline.settings)
        _log_metrics(store, run_id, [Metric(key, value, ended or 0, 0) for key, value in baseline.metrics.items()])
        store.client.log_inputs(run_id, datasets=_inputs(record))
        store.client.set_terminated(run_id, "FINISHED", end_time=ended)


def _tags(record: RunRecord) -> dict[str, str]:
    return {
        "kind": "distilled",
        "model": record.label,
        "git_commit": record.git_commit,
        "dialect": record.settings["dialect"],
        "suite": record.suite,
        "model_name": record.name,
        "model_revision": record.revision,
        "signature": record.signature,
        "mlflow.source.name": "python -m m2v_bench",
        **{f"version.{name}": version for name, version in record.versions.items()},
    }


def _inputs(record: RunRecord) -> list[DatasetInput]:
    """Return the tasks' datasets with revisions and scored splits."""
    return [
        DatasetInput(
            Dataset(
                name=task,
                digest=str(dataset["revision"])[:_MAX_DIGEST],
                source_type="mteb",
                source=json.dumps(dataset, sort_keys=True),
            ),
            [InputTag("mlflow.data.context", ",".join(dataset["splits"]))],
        )
        for task, dataset in record.datasets.items()
    ]


def _log_model(run_id: str, folder: Path) -> None:
    with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
        warnings.simplefilter("ignore")
        mlflow.pyfunc.log_model(
            name="model",
            python_model=StaticModelFlavour(),
            artifacts={"model": str(folder)},
            input_example=["a text to embed"],
            pip_requirements=[f"m2v-bench=={__version__}"],
        )
