"""Name a job's folder after the settings that tell it from other jobs."""

import re
from collections.abc import Sequence

from omegaconf import OmegaConf

from m2v_bench.cache import content_hash

# Words of the command line that say how or where a job runs, not what it is.
_NOT_PART = {"hydra", "launcher", "tracking", "results_dir", "device", "batch_size", "debug", "samples"}
_NOT_PART |= {"rerun", "fail_fast", "dry_run", "sweep", "experiment"}
# Part of it, but mostly common to all jobs and too long to be read.
_NOT_SHOWN = {"suite", "baseline", "baselines", "hub_dir", "data_dir"}


def job_folder(overrides: Sequence[str]) -> str:
    """The name of a job's folder: readable, and the same whenever the job is asked for by the same words.

    Args:
        overrides: the words of the job, as `pca_dims=64`.
    """
    split = sorted(word.lstrip("+~").partition("=") for word in overrides)
    kept = [(name, value) for name, _, value in split if tells_apart(name)]
    readable = "_".join(f"{name}-{value}" for name, value in kept if _group(name) not in _NOT_SHOWN)
    return f"{re.sub(r'[^A-Za-z0-9.-]+', '_', readable)[:60].strip('_') or 'job'}-{content_hash(kept)[:8]}"


def tells_apart(name: str) -> bool:
    """Whether jobs that differ in this setting are different jobs, and not one that runs otherwise."""
    return _group(name) not in _NOT_PART


def _group(name: str) -> str:
    return re.split(r"[./@]", name)[0]


def register_resolver() -> None:
    """Let config files call `job_folder`."""
    OmegaConf.register_new_resolver("job_folder", job_folder, replace=True)
