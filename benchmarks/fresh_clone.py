"""Time `make install`, `make run` (cold and warm) and the import in a fresh clone with an empty cache.

    python benchmarks/fresh_clone.py

Prints the times and writes them to results/bench/run.json, and copies the run's table and figure to results/. Downloads
are timed separately.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]


def seconds(command: list[str], cwd: Path, environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=cwd, env=environment, check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - started, 2)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "m2v_bench"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
        # committed results would hide what the run writes
        subprocess.run(["rm", "-rf", str(clone / "results")], check=True)
        environment = {**os.environ, "M2V_BENCH_CACHE": f"{folder}/cache"}
        python = str(clone / ".venv" / "bin" / "python")
        times = {
            "make install, first": seconds(["make", "install"], clone, environment),
            "make install, second": seconds(["make", "install"], clone, environment),
            "m2v-bench fetch": seconds([python, "-m", "m2v_bench.cli", "fetch"], clone, environment),
            "make run, first, after the downloads": seconds(["make", "run"], clone, environment),
            "make run, second": seconds(["make", "run"], clone, environment),
        }
        imports = [seconds([python, "-c", "import m2v_bench"], clone, environment) for _ in range(5)]
        bare = [seconds([python, "-c", "pass"], clone, environment) for _ in range(5)]
        times["import m2v_bench (process, best of 5)"] = min(imports)
        times["empty python process (best of 5)"] = min(bare)
        code = "import json; from m2v_bench.system.environment import hardware; print(json.dumps(hardware()))"
        for name in ("tables/starter.md", "figures/starter-speed.png"):
            target = REPOSITORY / "results" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(clone / "results" / name, target)
        machine = subprocess.run([python, "-c", code], cwd=clone, check=True, capture_output=True, text=True).stdout
    for name, value in times.items():
        print(f"{value:8.2f} s  {name}")
    target = REPOSITORY / "results" / "bench" / "run.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(
        json.dumps({"seconds": times, "hardware": json.loads(machine)}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    sys.exit(main())
