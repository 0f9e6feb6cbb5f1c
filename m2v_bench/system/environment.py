"""What a number was made with."""

import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, distributions, version
from pathlib import Path
from typing import Any

PACKAGES = ("mteb", "torch", "transformers", "sentence-transformers", "tokenizers", "numpy", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of those that can move a score."""
    from m2v_bench.system.version import __version__

    return {
        "m2v_bench": __version__,
        "python": platform.python_version(),
        **{package: version_of(package) for package in PACKAGES},
    }


def version_of(package: str) -> str:
    """The installed version of a package, or `absent`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def hardware() -> dict[str, Any]:
    """The processor, its number of logical cores and the operating system."""
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
    """The name of the CUDA device that torch would use, or None."""
    import torch

    with suppress(RuntimeError):  # another program may have it for itself
        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return None


def environment() -> dict[str, Any]:
    """The machine and every installed distribution, for whoever wants to make it again."""
    installed = {found.metadata["Name"]: found.version for found in distributions()}
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processors": os.cpu_count(),
        "accelerator": accelerator(),
        "versions": versions(),
        "git_commit": git_commit(),
        "distributions": {name: installed[name] for name in sorted(installed, key=str.lower)},
    }


def command_line() -> str:
    """The command that started this process, as it can be typed again."""
    verb = Path(sys.argv[0]).name in ("m2v-bench", "cli.py")
    return shlex.join([*(["m2v-bench"] if verb else ["python", "-m", "m2v_bench"]), *sys.argv[1:]])


def git_commit() -> str:
    """The commit of the checkout that this code runs from, with `+` when files were changed; else `none`."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "none"
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return commit + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "none"


def _git(root: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(root), *words], check=True, capture_output=True, text=True).stdout.strip()
