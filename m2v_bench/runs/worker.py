"""Run one job of a sweep in the process that its launcher chose."""

import os
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from m2v_bench.results.jobs import ERROR
from m2v_bench.results.record import RECORD
from m2v_bench.system.formatting import duration
from m2v_bench.system.output import steady

if TYPE_CHECKING:
    from m2v_bench.runs.prepare import Prepared


@dataclass(frozen=True)
class Work:
    """A job and everything that a process needs to run it.

    Attributes:
        config: the job's settings.
        folder: the job's folder.
        sweep_dir: the sweep's folder.
        title: the overrides that distinguish the job.
        cwd: working folder, the base of relative paths in the settings.
        threads: number of threads the process may use; None for no limit.
        prepared: result of `prepare`, if this process has it.
        number, n_jobs: place among the jobs that were launched together, from 1, and how many there are.
        launched: when, in seconds since 1970.
    """

    config: DictConfig
    folder: Path
    sweep_dir: Path
    title: str
    cwd: Path = field(default_factory=Path.cwd)
    threads: int | None = None
    prepared: "Prepared | None" = None
    number: int = 1
    n_jobs: int = 1
    launched: float = 0.0


def work(job: Work) -> None:
    """Run the job; write its result or error to its folder, unless debug=true, which raises the error."""
    steady()
    if job.threads is not None:
        _be_a_worker(job)
    from m2v_bench.config.messages import explain
    from m2v_bench.results.jobs import any_failed, write_error
    from m2v_bench.runs.run import run

    if job.config.fail_fast and any_failed(job.sweep_dir):
        return
    print(f"job {job.number}/{job.n_jobs} {job.title}", flush=True)
    try:
        run(job.config, job.folder, sweep_dir=job.sweep_dir, alone=job.threads is None, prepared=job.prepared)
    except Exception as error:
        if job.config.debug:
            raise
        message = explain(error, [f"results_dir={job.config.results_dir}"])
        print(f"{job.title}: {write_error(job.folder, message, error)}", file=sys.stderr, flush=True)
    if job.n_jobs > 1:
        print(_progress(job), flush=True)


def _progress(job: Work) -> str:
    """Say how many of the jobs have ended, in all processes, and how long the others will take at this pace."""
    ended = set()
    for file in [*job.sweep_dir.glob(f"*/{RECORD}"), *job.sweep_dir.glob(f"*/{ERROR}")]:
        with suppress(FileNotFoundError):  # another process starts this job again
            ended |= {file.parent} if file.stat().st_mtime >= job.launched else set()
    taken = time.time() - job.launched
    left = taken / max(1, len(ended)) * (job.n_jobs - len(ended))
    text = f"{len(ended)}/{job.n_jobs} jobs ended after {duration(taken)}"
    return text + (f", about {duration(left)} left" if left > 0 else "")


def _be_a_worker(job: Work) -> None:
    """Set the working folder and the number of threads of this worker process."""
    os.chdir(job.cwd)
    import torch
    from threadpoolctl import threadpool_limits

    assert job.threads is not None
    torch.set_num_threads(job.threads)
    threadpool_limits(limits=job.threads)
