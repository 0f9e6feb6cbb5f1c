"""Run the jobs of a sweep in this process, in other local processes, or on a cluster.

A launcher returns when all jobs have ended. It may raise if a worker dies; the sweep then relaunches the jobs whose
folders hold no result.

Hydra's launcher plugins for joblib, Ray and Slurm are not used: the Ray plugin requires an AWS client and a cloudpickle
version that conflicts with current MLflow, no plugin reports which job a dead worker was running, and a composed and
checked job needs no Hydra in its process.
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

# Prefixes of environment variables to pass to Ray nodes; other workers inherit them.
_PASSED_ON = ("M2V_BENCH_", "HF_", "PIP_", "MLFLOW_")
# Progress bars of several processes would overwrite each other.
_QUIET = {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_POLL_SECONDS = 0.5


def launch(jobs: list[Work], config: LauncherConfig, *, round_: int = 0) -> None:
    """Run the jobs.

    Args:
        jobs: emptied if they run in this process.
        config: the launcher settings.
        round_: number of rounds in which workers died; each round halves the workers, as they usually die of memory.

    Raises:
        BenchError: if the launcher cannot be used here.
        Exception: if a worker died.
    """
    if config.name == "local":
        while jobs:
            work(jobs.pop(0))  # popped, so that what the job loaded is freed
        return
    threads = config.threads or 1
    os.environ.update({**_QUIET, **dict.fromkeys(_THREADS, str(threads))})  # inherited by workers
    jobs = [replace(job, threads=threads) for job in jobs]
    LAUNCHERS[config.name](jobs, config, max(1, n_workers(config, len(jobs)) >> round_))


def n_workers(config: LauncherConfig, n_jobs: int) -> int:
    """Return how many jobs run at once: as set, else as many as processors and free memory allow."""
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
    resources = {} if config.address else {"num_cpus": workers * (config.threads or 1), "include_dashboard": False}
    try:
        ray.init(address=config.address, runtime_env={"env_vars": environment}, **resources)
    except ConnectionError as error:
        raise BenchError(f"{_no_cluster(config.address)} ({error})") from error
    try:
        # no retries by Ray: the sweep retries and counts the deaths
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
    """Check that something listens at the address; Ray itself would wait for minutes."""
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
    """Submit the jobs, `at_once` at a time, and wait for all."""
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
