"""What happens around the jobs of a sweep: one MLflow run above them, one table and one plot after them."""

import json
import traceback
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from m2v_bench.analysis.report import report_sweep
from m2v_bench.cache import write_json
from m2v_bench.config import TrackingConfig

_STATE = "sweep.json"

# Read by `__main__` when the sweep is over: Hydra only warns when a callback raises.
failures: list[str] = []


def parent_run(sweep_dir: Path) -> str | None:
    """The MLflow run of the sweep whose folder this is."""
    try:
        run_id: str | None = json.loads((sweep_dir / _STATE).read_text()).get("run_id")
    except OSError:
        return None
    return run_id


class SweepCallback(Callback):
    """Hydra calls this before the first job of a sweep and after the last."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Open the sweep's MLflow run; its id goes to a file, where jobs in other processes find it."""
        sweep_dir = Path(config.hydra.sweep.dir)
        sweep_dir.mkdir(parents=True, exist_ok=True)
        run_id = None
        tracking_config = _tracking(config)
        if tracking_config is not None:
            try:
                from m2v_bench import tracking

                run_id = tracking.start_sweep(tracking_config, name=_name(config), tags={"suite": config.suite.name})
            except Exception as error:
                print(f"not logged: tracking.uri={tracking_config.uri} gave {type(error).__name__}: {error}")
        write_json(sweep_dir / _STATE, {"name": _name(config), "run_id": run_id})

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Put the jobs' records together."""
        try:
            self._end(config)
        except Exception as error:  # Hydra would only warn of it
            failures.append(f"the sweep's table could not be made: {type(error).__name__}: {error}")
            if config.debug:
                traceback.print_exc()

    def _end(self, config: DictConfig) -> None:
        sweep_dir = Path(config.hydra.sweep.dir)
        records = [json.loads(path.read_text()) for path in sorted(sweep_dir.glob("*/record.json"), key=_job_number)]
        errors = [path.read_text() for path in sorted(sweep_dir.glob("*/error.txt"), key=_job_number)]
        failures.extend(errors)
        files: dict[Path, str] = {}
        try:
            if records:
                files = report_sweep(records, Path(config.results_dir), name=_name(config), axis=config.sweep.axis)
        finally:
            tracking_config, run_id = _tracking(config), parent_run(sweep_dir)
            if tracking_config is not None and run_id is not None:
                from m2v_bench import tracking

                tracking.end_sweep(tracking_config, run_id, files=files, failed=len(errors))


def _name(config: DictConfig) -> str:
    return str(config.sweep.name or "sweep")


def _job_number(path: Path) -> int:
    return int(path.parent.name) if path.parent.name.isdigit() else 0


def _tracking(config: DictConfig) -> TrackingConfig | None:
    if config.tracking.name == "none":
        return None
    settings = OmegaConf.to_container(config.tracking, resolve=True)
    assert isinstance(settings, dict)
    return TrackingConfig(**{str(key): value for key, value in settings.items()})
