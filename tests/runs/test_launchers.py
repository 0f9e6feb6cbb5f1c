"""Test that every launcher gives the scores of sequential jobs, even if a worker is killed."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from benchmarks.launchers import LAUNCHERS, ray_cluster, scores, start, working_folder
from m2v_bench.config.schema import LauncherConfig
from m2v_bench.runs.launchers import n_workers
from tests.conftest import Cli

JOBS = ["-m", "vocabulary=glove", "vocabulary_size=2000", "pca_dims=16,32", "weighting=none,sif", "baseline=[]"]
JOBS += ["suite=custom", "suite.tasks=[SimLex999WordSim,AutoFJRetrieval]", "tracking=none"]
# substring of the command line of a process that runs a job
WORKERS = {"joblib": "LokyProcess", "ray": "ray::work", "submitit": "submitit.core._submit"}
PASSWORD = "password-that-no-result-may-hold"


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the scores of the jobs run sequentially in one process."""
    home = working_folder(tmp_path_factory.mktemp("local") / "home")
    process = start(home, JOBS)
    _, errors = process.communicate()
    assert process.returncode == 0, errors
    return scores(home)


@pytest.mark.skipif(not Path("/proc/self/environ").is_file(), reason="the workers are found in /proc")
@pytest.mark.parametrize("launcher", sorted(LAUNCHERS.keys() - {"local"}))
def test_scores_survive_a_killed_worker(launcher: str, expected: dict[str, str], tmp_path: Path):
    name = launcher.split(",", maxsplit=1)[0].lower()
    if name == "ray":
        pytest.importorskip("ray")
    home = working_folder(tmp_path / "home")
    with ray_cluster(nodes=2) if name == "ray" else nullcontext() as address:
        overrides = [*JOBS, *LAUNCHERS[launcher], *([f"launcher.address={address}"] if address else [])]
        process = start(home, overrides, MLFLOW_TRACKING_PASSWORD=PASSWORD)
        try:
            victim = _first(home, WORKERS[name])
            time.sleep(1)
            os.kill(victim, signal.SIGKILL)
            output, errors = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "ended without a result, probably because a worker died" in errors
    assert output.count("│ M2V") == 4
    assert scores(home) == expected
    assert not (home / "results" / "speed").exists()  # the workers would have measured each other
    files = [path for path in (home / "results").rglob("*") if path.is_file()]
    assert not any(PASSWORD.encode() in path.read_bytes() for path in files)


def _first(home: Path, pattern: str) -> int:
    """Return the id of the first process that runs a job of the sweep in `home`."""
    end = time.monotonic() + 300
    while time.monotonic() < end:
        begun = any(not (path.parent / "record.json").exists() for path in home.glob("results/sweeps/*/*/config.yaml"))
        if begun and (process := next(_processes(home, pattern), None)):
            return process
        time.sleep(0.1)
    raise AssertionError(f"no process matches {pattern} after five minutes")


def _processes(home: Path, pattern: str) -> Iterator[int]:
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command, environment = ((folder / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            continue
        ours = str(home).encode() in environment or pattern.startswith("ray")  # a node has a separate environment
        if pattern.encode() in command and ours:
            yield int(folder.name)


def test_number_of_workers_fits_processors_and_memory():
    assert n_workers(LauncherConfig(workers=3), n_jobs=8) == 3
    assert n_workers(LauncherConfig(workers=3), n_jobs=2) == 2
    assert n_workers(LauncherConfig(memory_gb=1e6), n_jobs=8) == 1
    assert 1 <= n_workers(LauncherConfig(memory_gb=0.001), n_jobs=10**6) <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["launcher=slurm"], "launcher.cluster=slurm: "),
        (["launcher=joblib", "launcher.workers=0"], "launcher.workers=0: must be above 0"),
        (["launcher.name=dask"], "launcher.name=dask: unknown; allowed: local, joblib, ray, slurm"),
        (
            ["launcher=ray", "launcher.address=127.0.0.1:9"],
            "127.0.0.1:9: no Ray cluster answers there",
        ),
    ],
)
def test_unusable_launcher(overrides: list[str], message: str, bench: Cli):
    run = bench("-m", "pca_dims=16", "suite=custom", "suite.tasks=[SimLex999WordSim]", "baseline=[]", *overrides)
    assert run.returncode == 1
    assert message in run.stderr
    assert "Traceback" not in run.stderr
