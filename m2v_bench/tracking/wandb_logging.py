"""Log runs to Weights & Biases from their result files. No other module imports wandb.

A sweep is a group. Without an API key, or with WANDB_MODE=offline, runs are written to the folder `wandb`
(WANDB_DIR), from which `wandb sync` uploads them.
"""

import netrc
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from m2v_bench.cache import content_hash, file_sha256
from m2v_bench.config.schema import TrackingConfig
from m2v_bench.results.jobs import ERROR
from m2v_bench.results.record import RECORD, RunRecord, read_record
from m2v_bench.system.packages import require
from m2v_bench.tracking.run_content import (
    ARTIFACTS,
    baselines_of,
    description_of,
    metrics_of,
    settings_in,
    training_curve,
)


def log_run(config: TrackingConfig, folder: Path, *, sweep_dir: Path | None = None) -> str:
    """See `tracking.log_run`; `config.experiment` is the project, the sweep's name the group of the run."""
    record = read_record(folder)
    content = [file_sha256(folder / name) for name in (RECORD, ERROR) if (folder / name).is_file()]
    run_id = content_hash([str(folder.resolve()), content])
    group = None if sweep_dir is None else sweep_dir.name
    if _is_logged(run_id):
        return run_id
    if record is None:
        error = (folder / ERROR).read_text(encoding="utf-8")
        with _run(
            config, run_id, folder.name, group=group, kind="distilled", settings=settings_in(folder), failed=True
        ) as run:
            run.summary["error"] = error
            _add_files(run, folder)
        return run_id
    with _run(
        config,
        run_id,
        record.label,
        group=group,
        kind="distilled",
        settings=record.settings,
        failed=bool(record.failed),
        tags=[record.suite],
        notes=description_of(record, folder),
    ) as run:
        for name in ("training.loss", "training.held_out_loss"):
            run.define_metric(name, step_metric="epoch")
        for name, loss, epoch in training_curve(record):
            run.log({name: loss, "epoch": epoch})
        run.summary.update(metrics_of(record))
        _add_files(run, folder)
        if config.log_model and (folder / "model").is_dir():
            _add_model(run, folder / "model", record)
    _log_baselines(config, folder, record, group)
    return run_id


def _log_baselines(config: TrackingConfig, folder: Path, record: RunRecord, group: str | None) -> None:
    for baseline in baselines_of(record, f"{folder.parent.resolve()}"):
        # an id with the metrics' names, so that a record with more of them is logged again
        run_id = content_hash([baseline.id, sorted(baseline.metrics)])
        if _is_logged(run_id):
            continue
        with _run(
            config,
            run_id,
            baseline.label,
            group=group,
            kind=baseline.kind,
            settings=baseline.settings,
            tags=[record.suite],
        ) as run:
            run.summary.update(dict(baseline.metrics))


def start_sweep(
    config: TrackingConfig, sweep_dir: Path, *, tags: Mapping[str, str], started: float | None = None
) -> str:
    """Return the group of the sweep's runs; a group need not be created."""
    _wandb()
    return sweep_dir.name


def end_sweep(
    config: TrackingConfig,
    sweep_dir: Path,
    *,
    files: Mapping[Path, str],
    failed: int | None,
    ended: float | None = None,
) -> None:
    """Log the sweep's table and figures as a run of its group; nothing for an interrupted sweep."""
    if failed is None:
        return
    import wandb

    run_id = content_hash([str(sweep_dir.resolve()), sorted(file_sha256(file) for file in files)])
    if _is_logged(run_id):
        return
    notes = "".join(file.read_text(encoding="utf-8") for file in files if file.suffix == ".md")
    with _run(
        config,
        run_id,
        sweep_dir.name,
        group=sweep_dir.name,
        kind="sweep",
        settings={},
        failed=bool(failed),
        notes=notes,
    ) as run:
        run.summary["failed_jobs"] = failed
        run.log({file.stem: wandb.Image(str(file)) for file in files if file.suffix == ".png"})
        artifact = wandb.Artifact(f"sweep-{run_id}", "results")
        for file, place in files.items():
            artifact.add_file(str(file), f"{place}/{file.name}")
        run.log_artifact(artifact)


@contextmanager
def _run(
    config: TrackingConfig,
    run_id: str,
    name: str,
    *,
    group: str | None,
    kind: str,
    settings: Mapping[str, Any],
    failed: bool = False,
    **about: Any,
) -> Iterator[Any]:
    wandb = _wandb()
    run = wandb.init(
        project=config.experiment,
        id=run_id,
        name=name,
        group=group,
        job_type=kind,
        config=dict(settings),
        mode=_mode(),
        reinit="create_new",
        settings=wandb.Settings(silent=True, console="off", disable_git=True, x_disable_stats=True, save_code=False),
        **about,
    )
    try:
        yield run
    except BaseException:
        run.finish(exit_code=1)
        raise
    run.finish(exit_code=int(failed))


def _wandb() -> Any:
    return require("wandb", extra="wandb", setting="tracking=wandb", instead="take tracking=mlflow")


def _mode() -> str:
    """Return how to log: as WANDB_MODE says, else online with an API key and offline without one."""
    if mode := os.environ.get("WANDB_MODE"):
        return mode
    if os.environ.get("WANDB_API_KEY"):
        return "online"
    with suppress(OSError, netrc.NetrcParseError):
        host = os.environ.get("WANDB_BASE_URL", "").partition("//")[2].partition("/")[0]
        known = netrc.netrc().hosts
        if host in known or any("wandb" in name for name in known):
            return "online"
    return "offline"


def _is_logged(run_id: str) -> bool:
    """Return whether the folder of wandb has the run; ids hold the content of what was logged."""
    return any(Path(os.environ.get("WANDB_DIR", "."), "wandb").glob(f"*run-*-{run_id}"))


def _add_files(run: Any, folder: Path) -> None:
    import wandb

    artifact = wandb.Artifact(f"run-{run.id}", "results")
    for name, place in ARTIFACTS.items():
        if (folder / name).is_file():
            artifact.add_file(str(folder / name), "/".join(filter(None, (place, name))))
    run.log_artifact(artifact)


def _add_model(run: Any, folder: Path, record: RunRecord) -> None:
    import wandb

    artifact = wandb.Artifact(f"model-{record.revision}", "model", metadata={"name": record.name})
    artifact.add_dir(str(folder))
    run.log_artifact(artifact)
