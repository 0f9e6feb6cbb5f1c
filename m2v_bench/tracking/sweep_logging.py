"""Log a sweep as the parent run of its jobs."""

from collections.abc import Mapping
from pathlib import Path

from m2v_bench.config.schema import TrackingConfig
from m2v_bench.tracking.mlflow_store import MAX_TAG, folder_tags, opened
from m2v_bench.tracking.run_content import where_to_look


def start_sweep(
    config: TrackingConfig, sweep_dir: Path, *, tags: Mapping[str, str], started: float | None = None
) -> str:
    """Create the run of a sweep, or reopen that of an earlier start, and return its id.

    This creates the database and the experiment once, before any worker needs them; see `tracking.start_sweep`.
    """
    with opened(config) as store:
        known = store.runs_of(sweep_dir)
        if known:
            run_id = str(known[0].info.run_id)
            store.client.update_run(run_id, "RUNNING")
            return run_id
        begun = None if started is None else int(started * 1000)
        tags = {**tags, **folder_tags(sweep_dir), "kind": "sweep"}
        return str(store.client.create_run(store.experiment, begun, tags, sweep_dir.name).info.run_id)


def end_sweep(
    config: TrackingConfig,
    sweep_dir: Path,
    *,
    files: Mapping[Path, str],
    failed: int | None,
    ended: float | None = None,
) -> None:
    """Attach the sweep's table and figures to its run and close it; see `tracking.end_sweep`."""
    with opened(config) as store:
        run_id = str(store.runs_of(sweep_dir)[0].info.run_id)
        for path, folder in files.items():
            store.client.log_artifact(run_id, str(path), folder)
            if path.suffix == ".md":  # the sweep's table, on the run's page
                store.client.set_tag(run_id, "mlflow.note.content", _description(path, sweep_dir))
        if failed is not None:
            store.client.log_metric(run_id, "failed_jobs", failed)
        end = None if ended is None else int(ended * 1000)
        status = "KILLED" if failed is None else "FAILED" if failed else "FINISHED"
        store.client.set_terminated(run_id, status, end_time=end)


def _description(table: Path, sweep_dir: Path) -> str:
    return f"{table.read_text(encoding='utf-8')[: MAX_TAG - 1000]}\n{where_to_look(sweep_dir)}"
