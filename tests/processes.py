"""Run the commands of the package in separate processes."""

import atexit
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

# Variables that Python reads when it starts, or libraries when they are imported.
_READ_EARLY = ("HF_", "TRANSFORMERS_", "MLFLOW_", "OMP_", "MKL_", "OPENBLAS_", "PYTHON", "HOME", "XDG_", "LC_", "LANG")

_OFFLINE = {"HF_HUB_OFFLINE": "1"}  # the only ones for which a server is worth starting
Run = Callable[..., subprocess.CompletedProcess[str]]


class Process:
    """A command in a fork, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, argv: list[str], cwd: Path, variables: Mapping[str, str], *, offline: bool) -> None:
        self.args, self._server, self.returncode = [sys.executable, "-m", *argv], _server(offline), None
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        files = {file.name: str(file) for file in self._files}
        request = {"argv": argv, "cwd": str(cwd), "environment": dict(variables), **files}
        self.pid: int = self._ask(request)

    def _ask(self, request: Mapping[str, Any]) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{json.dumps(request)}\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._ask({"wait": self.pid})
        return self.returncode

    def wait(self, timeout: float = float("inf")) -> int:
        end = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                raise subprocess.TimeoutExpired(self.args, timeout)
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self) -> tuple[str, str]:
        """Wait for the end; return standard output and error."""
        self.wait()
        out, err = (file.read_text(encoding="utf-8", errors="replace") for file in self._files)
        return out, err


def run(module: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS` to its end.

    Most of its time would be the import of torch, mteb and mlflow, so it runs in a fork of a process that has done
    that (`fork_server`), unless it starts workers or has variables of its own that are read before.
    """
    early = {name: value for name, value in environment.items() if name.startswith(_READ_EARLY)}
    early = {name: value for name, value in early.items() if os.environ.get(name) != value}
    if sys.platform != "linux" or early not in ({}, _OFFLINE) or any(word.startswith("launcher") for word in words):
        return run_new(module, *words, cwd=cwd, **environment)
    process = Process([module, *words], cwd, {**os.environ, **environment}, offline=early == _OFFLINE)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


def start(module: str, *words: str, cwd: Path, **environment: str) -> Any:
    """Start `python -m MODULE WORDS`, as `run` does; return a `Process`, or a `subprocess.Popen` off Linux."""
    variables = {**os.environ, **environment}
    if sys.platform == "linux":
        return Process([module, *words], cwd, variables, offline=False)
    command = [sys.executable, "-m", module, *words]
    return subprocess.Popen(
        command, cwd=cwd, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


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


@functools.cache
def _server(offline: bool) -> subprocess.Popen[str]:
    root = Path(__file__).parents[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.fork_server"],
        cwd=root,
        env={**os.environ, **(_OFFLINE if offline else {})},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    atexit.register(server.kill)
    return server
