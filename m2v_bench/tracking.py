"""Runs as MLflow runs: a view of what the result files hold. The only file that imports mlflow."""

import logging
import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # an air-gapped machine would wait for it
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# a server that is away must not hold a run up for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

import mlflow
import numpy as np
from filelock import FileLock
from mlflow.entities import Metric, Param
from mlflow.pyfunc.model import PythonModel
from mlflow.tracking import MlflowClient

from m2v_bench import __version__
from m2v_bench.analysis.tables import ScoreTable
from m2v_bench.config import TrackingConfig

_MAX_PARAM = 6000  # characters of a parameter's value that every MLflow store accepts
_BATCH = 100  # parameters per request that every MLflow store accepts
# files of a run's folder -> artifact folder
_ARTIFACTS = {
    "config.yaml": "",
    "record.json": "",
    "table.md": "tables",
    "scores.csv": "tables",
    "speed_vs_score.png": "figures",
}

# Notices on our own deliberate choices (the class is pickled by reference, the input is not validated).
logging.getLogger("mlflow").setLevel(logging.ERROR)


class StaticModelFlavour(PythonModel):
    """A static model behind MLflow's `predict`: texts in (a list or a column), float32 embeddings out."""

    def load_context(self, context: Any) -> None:
        """Load the model from the run's artifacts."""
        from m2v_bench.inference.static_model import StaticModel

        self.model = StaticModel.from_pretrained(context.artifacts["model"])

    def predict(self, context: Any, model_input: list[str], params: dict[str, Any] | None = None) -> np.ndarray:
        """Embed the texts: float32 array of shape (texts, dims)."""
        return self.model.encode(model_input)


def prepare(config: TrackingConfig) -> tuple[MlflowClient, str]:
    """A client, and the id of the experiment, made when it is not there.

    Two processes that create an sqlite store at once break it, so creation is behind a lock.
    """
    database = _sqlite_file(config.uri)
    mlflow.set_tracking_uri(config.uri)
    if database is None:
        return MlflowClient(config.uri), _experiment(config, None)
    database.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{database}.lock"):
        return MlflowClient(config.uri), _experiment(config, (database.parent / "mlruns").as_uri())


def start_sweep(config: TrackingConfig, *, name: str, tags: Mapping[str, str]) -> str:
    """Open the run under which the runs of a sweep are nested; its id."""
    client, experiment = prepare(config)
    run = client.create_run(experiment, run_name=name, tags={**tags, "kind": "sweep"})
    return str(run.info.run_id)


def end_sweep(config: TrackingConfig, run_id: str, *, files: Mapping[Path, str], failed: int) -> None:
    """Attach the sweep's table and figure to its run and close it."""
    client, _ = prepare(config)
    for path, folder in files.items():
        client.log_artifact(run_id, str(path), folder)
    client.log_metric(run_id, "failed_jobs", failed)
    client.set_terminated(run_id, "FAILED" if failed else "FINISHED")


def log_run(
    config: TrackingConfig,
    record: Mapping[str, Any],
    table: ScoreTable,
    output_dir: Path,
    *,
    parent: str | None,
) -> str:
    """Log one finished job, nested under the run `parent` of its sweep if it has one; its id.

    Args:
        config: where to log.
        record: what the job wrote to record.json.
        table: the job's table.
        output_dir: the job's folder, whose files become artifacts.
        parent: id of the sweep's run.
    """
    client, experiment = prepare(config)
    tags = {**_tags(record), **({"mlflow.parentRunId": parent} if parent else {})}
    run_id = str(client.create_run(experiment, run_name=record["label"], tags=tags).info.run_id)
    params = [Param(key, str(value)[:_MAX_PARAM]) for key, value in record["settings"].items()]
    for start in range(0, len(params), _BATCH):
        client.log_batch(run_id, params=params[start : start + _BATCH])
    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(key, value, now, 0) for key, value in _metrics(record, table).items()])
    for name, folder in _ARTIFACTS.items():
        if (output_dir / name).is_file():
            client.log_artifact(run_id, str(output_dir / name), folder)
    if config.log_model:
        _log_model(run_id, output_dir / "model")
    failed = any(score["state"] == "failed" for score in record["scores"])
    client.set_terminated(run_id, "FAILED" if failed else "FINISHED")
    return run_id


def _metrics(record: Mapping[str, Any], table: ScoreTable) -> dict[str, float]:
    student = record["label"]
    speed: Mapping[str, Any] = next((row for row in record["speed"] if row["label"] == student), {})
    metrics = {f"task.{score['task']}": score["main_score"] for score in record["scores"] if score["label"] == student}
    metrics |= {f"type.{column}": table.cells[student, column].value for column in table.columns}
    metrics |= {f"seconds.{stage}": value for stage, value in record["seconds"].items()}
    metrics |= {name: speed.get(name) for name in ("texts_per_second", "n_parameters", "bytes_on_disk", "dims")}
    metrics["kept_of_teacher"] = table.kept[student]
    return {name: float(value) for name, value in metrics.items() if value is not None and not np.isnan(value)}


def _tags(record: Mapping[str, Any]) -> dict[str, str]:
    return {
        "git_commit": record["git_commit"],
        "dialect": record["settings"]["dialect.name"],
        "suite": record["settings"]["suite.name"],
        "model_name": record["name"],
        "model_revision": record["revision"],
        "mlflow.source.name": "python -m m2v_bench",
        **{f"version.{name}": version for name, version in record["versions"].items()},
    }


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


def _experiment(config: TrackingConfig, artifacts: str | None) -> str:
    found = mlflow.get_experiment_by_name(config.experiment)
    if found is not None:
        return str(found.experiment_id)
    return str(mlflow.create_experiment(config.experiment, artifact_location=artifacts))


def _sqlite_file(uri: str) -> Path | None:
    return Path(uri.removeprefix("sqlite:///")).resolve() if uri.startswith("sqlite:///") else None
