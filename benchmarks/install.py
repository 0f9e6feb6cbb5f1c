"""Measure what the installs cost: seconds, megabytes, packages, and the time to import `StaticModel`.

    python benchmarks/install.py

Installs the checkout and its extras with pip and the pinned versions, each into an environment of its own, and writes
results/bench/install.md. Seconds are those of this machine and its package index, without downloads where pip has them
in its cache.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
INSTALLS = {"": "`StaticModel`", "distill": "and `distill`, `train`", "bench": "everything, as `make install`"}
FIRST_USE = """
import time
started = time.perf_counter()
from m2v_bench import StaticModel
print(time.perf_counter() - started)
"""


def measure(extra: str, folder: Path) -> dict[str, float]:
    """Install into a new environment, and return what it cost."""
    python = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    empty = size_of(folder)
    what = f".[{extra}]" if extra else "."
    started = time.perf_counter()
    command = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", "constraints.txt"]
    subprocess.run([*command, what], check=True, cwd=REPOSITORY)
    seconds = time.perf_counter() - started
    listed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format=json", "--disable-pip-version-check"],
        check=True,
        capture_output=True,
        text=True,
    )
    first = [
        float(
            subprocess.run(
                [str(python), "-c", FIRST_USE], check=True, capture_output=True, text=True, cwd=folder
            ).stdout
        )
        for _ in range(5)
    ]
    return {
        "seconds": seconds,
        "megabytes": (size_of(folder) - empty) / 1e6,
        "packages": len(json.loads(listed.stdout)) - 2,  # without pip and setuptools of the empty environment
        "import": sorted(first)[2],
    }


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def main() -> None:
    lines = ["| `pip install` | for | MB | packages | seconds | import (s) |", "|---|---|---:|---:|---:|---:|"]
    sizes = []
    for extra, purpose in INSTALLS.items():
        with tempfile.TemporaryDirectory() as folder:
            cost = measure(extra, Path(folder) / "venv")
        sizes.append(cost["megabytes"])
        name = f"'.[{extra}]'" if extra else "."
        lines.append(
            f"| `{name}` | {purpose} | {cost['megabytes']:,.0f} | {cost['packages']} | {cost['seconds']:.0f} | "
            f"{cost['import']:.2f} |"
        )
        print(lines[-1], flush=True)
    lines += ["", f"The smallest is 1/{sizes[-1] / sizes[0]:.1f} of the largest, with torch for CPUs.", ""]
    file = REPOSITORY / "results" / "bench" / "install.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines), encoding="utf-8")
    print(f"wrote {file}")


if __name__ == "__main__":
    main()
