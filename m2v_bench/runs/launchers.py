"""Where the jobs of a sweep run: in this process, in others on this machine, or on a cluster.

A launcher is given the jobs and returns when all have ended. It may raise when a worker dies; the sweep looks at what
the jobs left in their folders and hands over again those that left nothing.

Hydra has launchers for joblib, Ray and Slurm as plugins. They are not used: that for Ray asks for a cloudpickle that
does not go with the MLflow of today and for an AWS client, none has had a release that tells of a dead worker's job
alone, and a job that is composed and checked already needs no Hydra in its process.
"""

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from m2v_bench.config.schema import LauncherConfig
from m2v_bench.errors import BenchError
from m2v_bench.runs.worker import Work, work
from m2v_bench.system.memory import available_memory
from m2v_bench.system.packages import require

Launcher = Callable[[Sequence[Work], LauncherConfig, int], None]

# Variables that the nodes of a Ray cluster do not have; other workers inherit them.
_PASSED_ON = ("M2V_BENCH_", "HF_", "PIP_", "MLFLOW_")
# The bars of several processes would write over each other.
_QUIET = {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_POLL_SECONDS = 0.5


def launch(jobs: list[Work], config: LauncherConfig, *, round_: int = 0) -> None:
    """Run the jobs.

    Args:
        jobs: to run; emptied where they run in this process.
        config: how.
        round_: how often workers have died; each time half as many are started, as memory is what they die of.

    Raises:
        BenchError: for a launcher that cannot be used here.
        Exception: when a worker died.
    """
    if config.name == "local":
        while jobs:
            work(jobs.pop(0))  # with it goes what it loaded
        return
    threads = config.threads or 1
    os.environ.update({**_QUIET, **dict.fromkeys(_THREADS, str(threads))})  # what is started from here inherits it
    given = [replace(job, threads=threads) for job in jobs]
    LAUNCHERS[config.name](given, config, max(1, n_workers(config, len(jobs)) >> round_))


def n_workers(config: LauncherConfig, n_jobs: int) -> int:
    """How many jobs run at once: as set, else as many as this machine's processors and free memory allow."""
    if config.workers is not None:
        return min(config.workers, n_jobs)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    fitting = processors // (config.threads or 1)
    memory = available_memory()
    if memory is not None:
        fitting = min(fitting, int(memory / (config.memory_gb * 1e9)))
    return max(1, min(fitting, n_jobs))


def _joblib(jobs: Sequence[Work], config: LauncherConfig, workers: int) -> None:
    from joblib import Parallel, delayed, parallel_config

    with parallel_config(backend="loky", n_jobs=workers, inner_max_num_threads=config.threads or 1):
        Parallel(batch_size=1, pre_dispatch=workers)(delayed(work)(job) for job in jobs)


def _ray(jobs: Sequence[Work], config: LauncherConfig, workers: int) -> None:
    ray = require("ray", extra="ray", setting="launcher=ray", instead="take launcher=joblib")

    _check_answers(config.address)
    passed_on = (*_PASSED_ON, *_QUIET, *_THREADS)
    environment = {name: value for name, value in os.environ.items() if name.startswith(passed_on)}
    own = {} if config.address else {"num_cpus": workers * (config.threads or 1), "include_dashboard": False}
    try:
        ray.init(address=config.address, runtime_env={"env_vars": environment}, **own)
    except ConnectionError as error:
        raise BenchError(f"{_no_cluster(config.address)} ({error})") from error
    try:
        # the sweep starts again what a dead worker leaves, so that it counts how often
        remote = ray.remote(num_cpus=config.threads or 1, max_retries=0)(work)
        at_once = len(jobs) if config.address and config.workers is None else workers
        waiting, running, died = list(jobs), list[Any](), None
        while waiting or running:
            fresh, waiting = waiting[: at_once - len(running)], waiting[at_once - len(running) :]
            done, running = ray.wait(running + [remote.remote(job) for job in fresh])
            try:
                ray.get(done)
            except ray.exceptions.RayTaskError:
                raise  # debug=true
            except ray.exceptions.RayError as error:
                died = error
        if died is not None:
            raise died
    finally:
        ray.shutdown()


def _check_answers(address: str | None) -> None:
    """Refuse an address at which nobody listens; Ray itself would wait for minutes."""
    host, _, port = (address or "").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise BenchError(f"{_no_cluster(address)} ({error.strerror or error})") from error


def _no_cluster(address: str | None) -> str:
    return f"launcher.address={address}: no Ray cluster answers there; start one with `ray start --head`"


def _slurm(jobs: Sequence[Work], config: LauncherConfig, workers: int) -> None:
    submitit = require("submitit", extra="slurm", setting="launcher=slurm", instead="take launcher=joblib")

    folder = Path(jobs[0].sweep_dir) / "submitit"
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=config.cluster)
    except RuntimeError as error:
        raise BenchError(
            f"launcher.cluster={config.cluster}: {error}. Start the sweep on a machine of the cluster, "
            "or set launcher.cluster=local for processes on this one"
        ) from error
    executor.update_parameters(
        name="m2v_bench", timeout_min=config.minutes, mem_gb=config.memory_gb, cpus_per_task=config.threads or 1
    )
    if config.cluster == "slurm":
        executor.update_parameters(
            slurm_partition=config.partition, slurm_array_parallelism=config.workers or len(jobs)
        )
    _in_turn(jobs, executor, len(jobs) if config.cluster == "slurm" else workers)


def _in_turn(jobs: Sequence[Work], executor: Any, at_once: int) -> None:
    """Submit the jobs, so many at once, and wait for all."""
    waiting, running, died = list(jobs), list[Any](), None
    try:
        while waiting or running:
            fresh, waiting = waiting[: at_once - len(running)], waiting[at_once - len(running) :]
            if fresh:
                running += executor.map_array(work, fresh)
            ended = [job for job in running if job.done()]
            died = next((error for job in ended if (error := job.exception()) is not None), died)
            running = [job for job in running if job not in ended]
            time.sleep(_POLL_SECONDS)
    finally:
        for job in running:
            job.cancel()
    if died is not None:
        raise died


LAUNCHERS: dict[str, Launcher] = {"joblib": _joblib, "ray": _ray, "slurm": _slurm}
