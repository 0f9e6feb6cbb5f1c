"""Log runs to MLflow or Weights & Biases from their result files. No other package imports mlflow or wandb.

`log_run` reads only the folder of a run, so that `rebuild` gives the same result later.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from m2v_bench.config.schema import TrackingConfig

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # an air-gapped machine would wait for it
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# an unreachable server must not delay a run for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")


def log_run(config: TrackingConfig, folder: Path, *, sweep_dir: Path | None = None) -> str:
    """Log a job's folder, unless the store has it already, and return the run's id.

    Args:
        config: the tracking settings.
        folder: the job's folder, with record.json if it ended and error.txt if it failed.
        sweep_dir: folder of the job's sweep, to which the run belongs.

    Raises:
        Exception: if the store cannot be written.
    """
    return str(_runs(config).log_run(config, folder, sweep_dir=sweep_dir))


def start_sweep(
    config: TrackingConfig, sweep_dir: Path, *, tags: Mapping[str, str], started: float | None = None
) -> str:
    """Prepare the store for the jobs of a sweep, and return the id that their runs share.

    Args:
        config: the tracking settings.
        sweep_dir: the sweep's folder; its name becomes the run's name.
        tags: tags of the run.
        started: start time in seconds since 1970; None for now.

    Raises:
        Exception: if the store cannot be written.
    """
    return str(_sweeps(config).start_sweep(config, sweep_dir, tags=tags, started=started))


def end_sweep(
    config: TrackingConfig,
    sweep_dir: Path,
    *,
    files: Mapping[Path, str],
    failed: int | None,
    ended: float | None = None,
) -> None:
    """Log the table and figures of a sweep that has ended.

    Args:
        config: the tracking settings.
        sweep_dir: the sweep's folder.
        files: artifact folder by file.
        failed: number of failed jobs; None if the sweep was interrupted.
        ended: end time in seconds since 1970; None for now.

    Raises:
        Exception: if the store cannot be written.
    """
    _sweeps(config).end_sweep(config, sweep_dir, files=files, failed=failed, ended=ended)


def _runs(config: TrackingConfig) -> ModuleType:
    if config.name == "wandb":
        from m2v_bench.tracking import wandb_logging

        return wandb_logging
    from m2v_bench.tracking import run_logging

    _quiet_mlflow()
    return run_logging


def _sweeps(config: TrackingConfig) -> ModuleType:
    if config.name == "wandb":
        return _runs(config)
    from m2v_bench.tracking import sweep_logging

    _quiet_mlflow()
    return sweep_logging


def _quiet_mlflow() -> None:
    """Silence MLflow's notices on our own deliberate choices; it sets a level of its own when it is imported."""
    logging.getLogger("mlflow").setLevel(logging.ERROR)
