"""Compare scores and wall time of the same eight jobs under every launcher."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from m2v_bench.cache import cache_dir

BIN = Path(sys.executable).parent
JOBS = ["-m", "vocabulary=glove", "vocabulary_size=6000", "pca_dims=32,64,128,256", "weighting=none,sif"]
JOBS += ["suite=custom", "suite.tasks=[SimLex999WordSim,MENWordSim,AutoFJRetrieval]", "baseline=[]", "tracking=none"]
LAUNCHERS = {
    "local": ["launcher=local"],
    "joblib, 2 workers": ["launcher=joblib", "launcher.workers=2"],
    "Ray, 2 nodes": ["launcher=ray"],
    "submitit, 2 at once": ["launcher=slurm", "launcher.cluster=local", "launcher.workers=2"],
}


# local cluster without authentication, whatever the user's Ray settings
RAY_OPEN = {"RAY_AUTH_MODE": "disabled"}


def working_folder(folder: Path) -> Path:
    """Make a working folder with a separate cache that shares only the assets."""
    (folder / "cache").mkdir(parents=True)
    (folder / "cache" / "assets").symlink_to(cache_dir() / "assets")
    return folder


def start(home: Path, overrides: Sequence[str], **environment: str) -> subprocess.Popen[str]:
    """Start `python -m m2v_bench` in a working folder."""
    environment = {**os.environ, **RAY_OPEN, **environment, "M2V_BENCH_CACHE": str(home / "cache")}
    command = [sys.executable, "-m", "m2v_bench", *overrides]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=home, env=environment, text=True, stdout=pipe, stderr=pipe)


@contextmanager
def ray_cluster(*, nodes: int = 2) -> Iterator[str]:
    """Start a Ray cluster on this machine, with one processor per node, and yield its address."""
    port = "6399"
    scratch = tempfile.mkdtemp(prefix="ray-")  # short, because socket paths are limited
    head = ["--num-cpus=1", "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={scratch}"]
    environment = {**os.environ, **RAY_OPEN, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1"}
    ray = [str(BIN / "ray")]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for node in range(nodes):
            place = ["--head", f"--port={port}"] if node == 0 else [f"--address=127.0.0.1:{port}"]
            options = head if node == 0 else head[:1]
            command = [*ray, "start", "--block", "--node-ip-address=127.0.0.1", *place, *options]
            quiet = subprocess.DEVNULL
            started.append(subprocess.Popen(command, env=environment, stdout=quiet, stderr=quiet))
            time.sleep(8)
        yield f"127.0.0.1:{port}"
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(scratch, ignore_errors=True)


def run(home: Path, launcher: str, overrides: Sequence[str] = JOBS) -> float:
    """Run the sweep under a launcher and return its seconds."""
    if not launcher.startswith("Ray"):
        return _timed(home, [*overrides, *LAUNCHERS[launcher]])
    with ray_cluster() as address:
        return _timed(home, [*overrides, *LAUNCHERS[launcher], f"launcher.address={address}"])


def _timed(home: Path, overrides: Sequence[str]) -> float:
    started = time.perf_counter()
    process = start(home, overrides)
    _, errors = process.communicate()
    if process.returncode != 0:
        raise RuntimeError(errors)
    return time.perf_counter() - started


def scores(home: Path) -> dict[str, str]:
    """Read the scores of every result file as JSON text, by path."""
    files = sorted((home / "results" / "results").rglob("*.json"))
    results = [path for path in files if path.name != "model_meta.json"]
    return {str(path.relative_to(home)): json.dumps(json.loads(path.read_text())["scores"]) for path in results}


def main() -> None:
    """Print the table and write it to results/bench."""
    from m2v_bench.system.environment import hardware, versions

    rows, first = {}, None
    with tempfile.TemporaryDirectory() as scratch:
        for name in LAUNCHERS:
            home = working_folder(Path(scratch) / name.split(",")[0].lower())
            seconds = run(home, name)
            files = scores(home)
            first = first or files
            rows[name] = {"seconds": seconds, "files": len(files), "same": files == first}
            print(f"{name}: {seconds:.1f} s, {len(files)} score files, {'equal' if files == first else 'DIFFERENT'}")
            shutil.rmtree(home)
    target = Path("results/bench")
    target.mkdir(parents=True, exist_ok=True)
    record = {"launchers": rows, "hardware": hardware(), "versions": versions()}
    (target / "launchers.json").write_text(json.dumps(record, indent=2) + "\n")
    (target / "launchers.md").write_text(table(record))


def table(record: dict[str, Any]) -> str:
    """Format the record as Markdown."""
    machine = record["hardware"]
    lines = [
        f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; without cluster startup:",
        "",
    ]
    lines += ["| Launcher | Wall time of eight jobs | Score files | Scores |", "|---|---:|---:|---|"]
    for name, row in record["launchers"].items():
        same = "identical to local" if row["same"] else "DIFFERENT"
        lines.append(f"| {name} | {row['seconds']:.0f} s | {row['files']} | {same if name != 'local' else ''} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
