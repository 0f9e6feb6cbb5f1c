"""Run the commands of the package as separate processes, without importing torch, mteb and mlflow in each one.

A user's process spends most of its time on these imports. A forkserver pays for them once; every command then runs in a
process forked from it, which may be killed like any other. A command with environment variables that libraries read at
import gets a new interpreter, as the first commands of `test_end_to_end.py` do.
"""

import atexit
import io
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

# Variables that libraries read when they are imported, or that Python does when it starts.
_READ_AT_IMPORT = ("HF_", "TRANSFORMERS_", "MLFLOW_", "OMP_", "MKL_", "OPENBLAS_", "PYTHON", "HOME", "XDG_", "LC_")
_AT_START = dict(os.environ)
_context: Any = None


class Process:
    """A command in a forked process, with the part of `subprocess.Popen` that tests use."""

    def __init__(self, module: str, words: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        self.args = [sys.executable, "-m", module, *words]
        self._files: list[IO[bytes]] = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - until `wait`
        paths = [f"/proc/{os.getpid()}/fd/{file.fileno()}" for file in self._files]
        self._process = _forkserver().Process(target=_main, args=(module, list(words), cwd, dict(environment), paths))
        self._process.start()
        self.pid: int = self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode  # type: ignore[no-any-return]

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; what the process wrote to standard output and error."""
        self.wait(timeout)
        texts = []
        for file in self._files:
            file.seek(0)
            texts.append(file.read().decode("utf-8", errors="replace"))
        return texts[0], texts[1]


def start(module: str, *words: str, cwd: Path, **environment: str) -> Any:
    """Start `python -m MODULE WORDS` in a process group of its own; a `Process` or a `subprocess.Popen`."""
    variables = {**os.environ, **environment}
    if _can_fork(variables) and not any(word.startswith("launcher") for word in words):  # loky hangs in a fork
        return Process(module, words, cwd, variables)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, "-m", module, *words], cwd=cwd, env=variables, text=True, start_new_session=True, **pipes
    )


def run(module: str, *words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS` to its end."""
    process = start(module, *words, cwd=cwd, **environment)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run_new(module: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m MODULE WORDS` in a new interpreter, as a user does."""
    return subprocess.run([sys.executable, "-m", module, *words], cwd=cwd, capture_output=True, text=True, check=False)


def _can_fork(variables: Mapping[str, str]) -> bool:
    names = [name for name in {*variables, *_AT_START} if name.startswith(_READ_AT_IMPORT)]
    return sys.platform == "linux" and all(variables.get(name) == _AT_START.get(name) for name in names)


def _forkserver() -> Any:
    global _context  # noqa: PLW0603 - one per process of the test run
    if _context is None:
        _context = multiprocessing.get_context("forkserver")
        _context.set_forkserver_preload(["tests.preloaded"])
    return _context


def _main(module: str, words: list[str], cwd: Path, environment: dict[str, str], paths: list[str]) -> None:
    """Become the process that `python -m MODULE WORDS` would be."""
    os.setsid()
    for number, path in enumerate(paths, start=1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.path[0] = str(cwd)
    sys.argv = [module, *words]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except KeyboardInterrupt:  # an interpreter ends by the signal
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
