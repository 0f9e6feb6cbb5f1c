"""Versions, hardware and command line behind a result."""

import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

PACKAGES = ("mteb", "torch", "transformers", "sentence-transformers", "tokenizers", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Return versions of Python, this package and the packages that can affect a score."""
    from m2v_bench.system.version import __version__

    return {
        "m2v_bench": __version__,
        "python": platform.python_version(),
        **{package: version_of(package) for package in PACKAGES},
    }


def version_of(package: str) -> str:
    """Return the installed version of a package, or `absent`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def hardware() -> dict[str, Any]:
    """Return the processor, its number of logical cores and the operating system."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def accelerator() -> str | None:
    """Return the name of the CUDA device that torch would use, or None."""
    import torch

    with suppress(RuntimeError):  # another process may hold it exclusively
        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return None


def environment() -> dict[str, Any]:
    """Describe the machine and every installed distribution, for reproduction."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "accelerator": accelerator(),
        "versions": versions(),
        "git_commit": git_commit(),
        "distributions": dict(_installed()),
    }


@cache
def _installed() -> dict[str, str]:
    """Return the version of every installed distribution, read once per process: it takes a tenth of a second."""
    installed = {distribution.metadata["Name"]: distribution.version for distribution in distributions()}
    return {name: installed[name] for name in sorted(installed, key=str.lower)}


def command_line() -> str:
    """Return the command that started this process, quoted for a shell."""
    is_cli = Path(sys.argv[0]).name in ("m2v-bench", "cli.py")
    return shlex.join([*(["m2v-bench"] if is_cli else ["python", "-m", "m2v_bench"]), *sys.argv[1:]])


def git_commit() -> str:
    """Return the commit of the checkout that runs this code, with `+` for modified files; `none` outside one."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "none"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
