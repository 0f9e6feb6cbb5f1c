"""Run the commands of the package in separate processes."""

import os
import subprocess
import sys
from pathlib import Path


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
    """Run `python -m MODULE WORDS` to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
