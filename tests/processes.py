"""Run the commands of the package in separate processes."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

# Variables that Python reads when it starts, or libraries when they are imported.
_READ_EARLY = ("HF_", "TRANSFORMERS_", "MLFLOW_", "OMP_", "MKL_", "OPENBLAS_", "PYTHON", "HOME", "XDG_", "LC_", "LANG")

Run = Callable[..., subprocess.CompletedProcess[str]]


def start(module: str, *words: str, cwd: Path, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m MODULE WORDS`; standard output is dropped, standard error kept."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(module: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS` to its end.

    Most of its time would be the import of torch, mteb and mlflow, so it runs in a fork of a process that has done
    that (`fork_server`), unless it starts workers or has variables of its own that are read before.
    """
    early = {name: value for name, value in environment.items() if name.startswith(_READ_EARLY)}
    early = {name: value for name, value in early.items() if os.environ.get(name) != value}
    offline = early == {"HF_HUB_OFFLINE": "1"}
    if sys.platform != "linux" or (early and not offline) or any(word.startswith("launcher") for word in words):
        return run_new(module, *words, cwd=cwd, **environment)
    return _fork([module, *words], cwd, {**os.environ, **environment}, offline=offline)


def run_new(module: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS` to its end in a new interpreter, as a user does."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def _fork(
    argv: list[str], cwd: Path, variables: Mapping[str, str], *, offline: bool
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as folder:
        files = {name: str(Path(folder) / name) for name in ("stdout", "stderr")}
        command = {"argv": argv, "cwd": str(cwd), "environment": dict(variables), **files}
        server = _server(offline)
        assert server.stdin is not None
        assert server.stdout is not None
        server.stdin.write(f"{json.dumps(command)}\n")
        server.stdin.flush()
        code = int(server.stdout.readline())
        out, err = (Path(file).read_text(encoding="utf-8", errors="replace") for file in files.values())
    return subprocess.CompletedProcess([sys.executable, "-m", *argv], code, out, err)


@functools.cache
def _server(offline: bool) -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server"],
        cwd=root,
        env={**os.environ, **({"HF_HUB_OFFLINE": "1"} if offline else {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(server.kill)
    return server
