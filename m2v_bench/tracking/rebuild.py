"""Rebuild the store of MLflow or Weights & Biases from the result files."""

import json
from pathlib import Path

from tqdm.auto import tqdm

from m2v_bench.config.schema import TrackingConfig
from m2v_bench.errors import BenchError
from m2v_bench.results.jobs import ERROR, SWEEP
from m2v_bench.results.record import RECORD, read_record
from m2v_bench.tracking import end_sweep, log_run, start_sweep


def rebuild(results_dir: Path, config: TrackingConfig) -> tuple[int, int]:
    """Log every run and sweep in `results_dir` that the store lacks.

    Returns:
        The numbers of runs and sweeps.

    Raises:
        BenchError: if there is nothing to log.
        Exception: if the store cannot be written.
    """
    runs = [path.parent for path in sorted(results_dir.glob(f"runs/*/{RECORD}")) if _can_be_logged(path.parent)]
    sweeps = {path.parent: _jobs(path.parent) for path in sorted(results_dir.glob(f"sweeps/*/{SWEEP}"))}
    total = len(runs) + sum(map(len, sweeps.values()))
    if not total:
        raise BenchError(f"--results {results_dir}: holds no runs; name the results_dir of the runs")
    with tqdm(total=total, desc="logging", unit="run") as bar:
        for folder in runs:
            log_run(config, folder)
            bar.update()
        for sweep_dir, jobs in sweeps.items():
            _rebuild_sweep(config, results_dir, sweep_dir, jobs, bar)
    return total, len(sweeps)


def _rebuild_sweep(config: TrackingConfig, results_dir: Path, sweep_dir: Path, jobs: list[Path], bar: tqdm) -> None:
    records = [record for job in jobs if (record := read_record(job)) is not None]
    times = [time for record in records for time in (record.started, record.ended) if time is not None]
    tags = {"suite": records[0].suite} if records else {}
    start_sweep(config, sweep_dir, tags=tags, started=min(times, default=None))
    for folder in jobs:
        log_run(config, folder, sweep_dir=sweep_dir)
        bar.update()
    state = json.loads((sweep_dir / SWEEP).read_text(encoding="utf-8"))
    files = {results_dir / name: folder for name, folder in state.get("files", {}).items()}
    end_sweep(
        config,
        sweep_dir,
        files={path: folder for path, folder in files.items() if path.is_file()},
        failed=state.get("failed"),
        ended=max(times, default=None),
    )


def _jobs(sweep_dir: Path) -> list[Path]:
    folders = [path for path in sorted(sweep_dir.iterdir()) if path.is_dir()]
    return [path for path in folders if _can_be_logged(path)]


def _can_be_logged(folder: Path) -> bool:
    """Return whether the folder is complete; records of the first version lack times, sizes and datasets."""
    record = read_record(folder)
    return (folder / ERROR).is_file() if record is None else record.size is not None
