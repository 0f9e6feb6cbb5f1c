"""Check composed settings beyond what the types in `schema` express."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from m2v_bench.config.messages import unknown_settings
from m2v_bench.config.renames import current_name
from m2v_bench.config.schema import (
    AGGREGATIONS,
    LAUNCHER_NAMES,
    TRACKER_NAMES,
    BaselineConfig,
    Config,
    LauncherConfig,
    is_setting,
    settings,
)
from m2v_bench.errors import BenchError, did_you_mean, override
from m2v_bench.system.packages import require


def typed(config: DictConfig) -> Config:
    """Return the settings as dataclasses.

    Raises:
        BenchError: for settings that do not exist.
    """
    # an override `+name=value` can add a name that is not in the schema
    if unknown := [name for name in flat_settings(config) if not is_setting(name)]:
        raise BenchError(unknown_settings(unknown))
    checked = OmegaConf.to_object(config)
    assert isinstance(checked, Config)
    axis = checked.sweep.axis and current_name(checked.sweep.axis)
    checked = replace(
        checked,
        sweep=replace(checked.sweep, axis=axis),
        baselines={key: _baseline(key, value) for key, value in checked.baselines.items()},
    )
    check_baselines(checked.baselines)
    if checked.suite.aggregation not in AGGREGATIONS:
        raise BenchError(f"suite.aggregation={checked.suite.aggregation}: unknown; allowed: {', '.join(AGGREGATIONS)}")
    return checked


def check(config: DictConfig) -> Config:
    """Return the settings as dataclasses, after checking every value that needs no computation to check.

    Raises:
        BenchError: naming the setting, its value and what is allowed.
    """
    checked = typed(config)
    checked.distillation.resolved()
    if checked.tracking.name not in TRACKER_NAMES:
        raise BenchError(f"tracking.name={checked.tracking.name}: unknown; allowed: {', '.join(TRACKER_NAMES)}")
    if checked.tracking.name == "wandb" and find_spec("wandb") is None:  # importing it would take seconds
        require("wandb", extra="wandb", setting="tracking=wandb", instead="take tracking=mlflow")
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", checked.sweep.name):
        raise BenchError(f"sweep.name={checked.sweep.name}: is the name of a folder; allowed: letters, digits, _ . -")
    _check_axis(checked.sweep.axis)
    _check_launcher(checked.launcher)
    if checked.batch_size < 1:
        raise BenchError(f"batch_size={checked.batch_size}: must be at least 1")
    _check_device(checked.device)
    _check_writable(checked.results_dir)
    return checked


# Kind of baseline -> (required settings, optional settings), besides `kind`.
BASELINE_SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "teacher": ((), ()),
    "sentence_transformer": (("name",), ("revision", "label")),
    "static": (("name",), ("revision", "label")),
    "vectors": (("name",), ("label",)),
    "wordllama": (("name",), ("label",)),
    "bpemb": (("name",), ("label",)),
    "random": ((), ("dims", "label")),
    "bm25": ((), ("label",)),
}
_MAX_DIMS = 65_536


def check_baselines(baselines: Mapping[str, BaselineConfig]) -> None:
    """Refuse unknown kinds and settings that the kind lacks, before anything is loaded.

    Raises:
        BenchError: naming the setting, its value and what is allowed.
    """
    for key, config in baselines.items():
        setting = f"baselines.{key}"
        if config.kind not in BASELINE_SETTINGS:
            near = did_you_mean(config.kind, BASELINE_SETTINGS)
            raise BenchError(f"{setting}.kind={config.kind}: unknown.{near} Allowed: {', '.join(BASELINE_SETTINGS)}")
        required, optional = BASELINE_SETTINGS[config.kind]
        for name in ("name", "revision", "label", "dims"):
            value = getattr(config, name)
            if value is None and name in required:
                raise BenchError(f"{setting}.{name} is not set; a baseline with kind={config.kind} needs it")
            if value is not None and name not in (*required, *optional):
                raise BenchError(f"{setting}.{name}={value}: kind={config.kind} has no such setting; leave it null")
        if config.dims is not None and not 1 <= config.dims <= _MAX_DIMS:
            raise BenchError(f"{setting}.dims={config.dims}: must lie between 1 and {_MAX_DIMS}")


def _baseline(key: str, value: Any) -> BaselineConfig:
    """Convert the settings of one baseline to their declared types."""
    setting = f"baselines.{key}"
    if not isinstance(value, Mapping):
        raise BenchError(f"{setting}={value}: must be a mapping, for example '+{setting}={{kind: static, name: PATH}}'")
    typed = OmegaConf.structured(BaselineConfig)
    for name, field_value in value.items():
        try:
            typed[name] = field_value
        except OmegaConfBaseException as error:
            raise BenchError(f"{setting}.{name}={field_value}: {str(error).splitlines()[0]}") from error
    if OmegaConf.is_missing(typed, "kind"):
        raise BenchError(f"{setting}.kind is not set; allowed: {', '.join(BASELINE_SETTINGS)}")
    baseline = OmegaConf.to_object(typed)
    assert isinstance(baseline, BaselineConfig)
    return baseline


def flat_settings(config: DictConfig) -> dict[str, Any]:
    """Return the settings as {'pca_dims': 256, ...}, interpolations resolved."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return _flatten(container, "")


def _flatten(config: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _check_axis(axis: str | None) -> None:
    if axis is not None and not is_setting(axis):
        near = did_you_mean(axis, settings())
        raise BenchError(f"sweep.axis={axis}: no such setting.{near} Name one that differs between jobs, e.g. pca_dims")


# Settings that only these launchers use.
_LAUNCHERS_OF = {
    "workers": ("joblib", "ray", "slurm"),
    "threads": ("joblib", "ray", "slurm"),
    "address": ("ray",),
    "partition": ("slurm",),
}


def _check_launcher(launcher: LauncherConfig) -> None:
    for name, allowed in (("name", LAUNCHER_NAMES), ("cluster", ("slurm", "local"))):
        if (value := getattr(launcher, name)) not in allowed:
            raise BenchError(f"launcher.{name}={value}: unknown; allowed: {', '.join(allowed)}")
    for name in ("workers", "threads", "memory_gb", "minutes"):
        if (value := getattr(launcher, name)) is not None and value <= 0:
            raise BenchError(f"launcher.{name}={value}: must be above 0")
    for name, names in _LAUNCHERS_OF.items():
        if (value := getattr(launcher, name)) is not None and launcher.name not in names:
            raise BenchError(
                f"launcher.{name}={value}: not used with launcher={launcher.name}; "
                f"set launcher={' or '.join(names)}, or leave launcher.{name} out"
            )


def _check_device(device: str) -> None:
    if device in ("cpu", "auto"):
        return
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BenchError(f"device={device}: torch cannot use it here ({error}); allowed: auto, cpu") from error


# subfolders of results_dir that runs write to
_SUBFOLDERS = ("results", "costs", "samples", "speed", "runs", "sweeps", "tables", "figures")


def _check_writable(results_dir: str) -> None:
    import tempfile

    folder = Path(results_dir)
    if results_dir.startswith("~"):
        expanded = override("results_dir", os.path.expanduser(results_dir))  # noqa: PTH111 - does not raise
        raise BenchError(f"results_dir={results_dir}: ~ is not expanded here; write {expanded}")
    target = folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for target in (folder, *(folder / name for name in _SUBFOLDERS if (folder / name).exists())):
            with tempfile.TemporaryFile(dir=target):
                pass
    except OSError as error:
        reason = error.strerror if target == folder else f"subfolder {target.name}: {error.strerror}"
        raise BenchError(
            f"results_dir={results_dir}: not writable ({reason}). Set results_dir=FOLDER to a writable folder."
        ) from error
