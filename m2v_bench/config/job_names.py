"""Name a job's folder after the settings that distinguish it from other jobs."""

import re
from collections.abc import Sequence

from omegaconf import OmegaConf

from m2v_bench.cache import content_hash

# Settings that change how or where a job runs, not what it computes.
_EXECUTION = {"hydra", "launcher", "tracking", "results_dir", "device", "batch_size", "debug", "samples"}
_EXECUTION |= {"rerun", "fail_fast", "dry_run", "sweep", "experiment"}
# Hashed, but left out of the readable part: usually equal in all jobs, and long.
_NOT_SHOWN = {"suite", "baseline", "baselines", "hub_dir", "data_dir"}


def job_folder(overrides: Sequence[str]) -> str:
    """Return a readable folder name for a job; the same overrides always give the same name.

    Args:
        overrides: the job's overrides, e.g. `pca_dims=64`, in any order.
    """
    split = sorted(override.lstrip("+~").partition("=") for override in overrides)
    kept = [(name, value) for name, _, value in split if tells_apart(name)]
    readable = "_".join(f"{name}-{value}" for name, value in kept if _group(name) not in _NOT_SHOWN)
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', readable)[:60].strip('_') or 'job'}-{content_hash(kept)[:8]}"


def tells_apart(name: str) -> bool:
    """Return whether two values of this setting make two jobs, rather than one job run in two ways."""
    return _group(name) not in _EXECUTION


def _group(name: str) -> str:
    return re.split(r"[./@]", name)[0]


def register_resolver() -> None:
    """Make `job_folder` available to config files."""
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
