"""Measure how the cost of a sweep scales, and predict the cost of a large sweep on 1, 8 and 64 machines.

    python -m benchmarks.scale.__main__

Measures forward passes at three vocabulary sizes, embedding of texts of three lengths, tasks with 1/16, 1/4 and all of
their samples, searches of generated corpora, and the overhead of a job. Predicts and runs a small sweep that shares
neither tasks nor vocabulary with these. Writes results/bench/scale.json, and scale-*.md, the tables of docs/scale.md.
To repeat measurements, remove them from scale.json.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from benchmarks.scale import report
from benchmarks.scale.costs import Costs, Task, job_steps, tasks_of
from benchmarks.scale.measure import (
    CHECK_BASE,
    CHECK_DIMS,
    CHECK_TASKS,
    CHECK_WEIGHTINGS,
    GRID_BASES,
    GRID_VARIANTS,
    GRID_VOCABULARIES,
    measure,
)
from benchmarks.scale.play import Step, play
from benchmarks.scale.scores import suite
from m2v_bench.cache import write_json
from m2v_bench.tasks import SuiteTask, load_suite
from tests.conftest import TEST_DATA

ROOT = Path(__file__).parents[2]
TARGET = ROOT / "results" / "bench"
MACHINES = (1, 8, 64)
WORKERS = 2  # per machine


def paper() -> list[SuiteTask]:
    """Load the 72 datasets of the paper."""
    settings = OmegaConf.load(ROOT / "conf" / "suite" / "paper.yaml")
    return load_suite(
        benchmark=settings.benchmark,
        tasks=list(settings.tasks),
        languages=[],
        splits=[],
        hub_dir=str(TEST_DATA / "hub"),
        data_dir=str(TEST_DATA / "eval"),
        seed=42,
    )


def predict_check(data: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """Predict wall and processor seconds of the small sweep under each launcher."""
    tasks, _ = tasks_of(suite(CHECK_TASKS, TEST_DATA / "hub"), data, costs)
    steps = job_steps(costs, CHECK_BASE, data["check_parts"], tasks, teacher=True)
    jobs = [steps] * (len(CHECK_DIMS) * len(CHECK_WEIGHTINGS))
    alone = play(jobs, 1, start=costs.start)
    # workers repeat the imports of the process that starts them
    two = play(jobs, WORKERS, start=2 * costs.start)
    return {
        "local": {"wall": alone.wall, "processor": alone.busy + costs.start},
        "joblib": {"wall": two.wall, "processor": two.busy + (1 + WORKERS) * costs.start},
    }


def predict_sweep(data: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """Predict the cost of a thousand variants on the 72 datasets, by number of machines."""
    tasks, unknown = tasks_of(paper(), data, costs)
    numbers = {f"{n} machines" if n > 1 else "1 machine": n * WORKERS for n in MACHINES}
    result: dict[str, Any] = {"unknown": unknown, "n_tasks": len(tasks), **parts_of(tasks, data, costs)}
    for name, teacher in (("with teachers", True), ("without", False)):
        jobs: list[list[Step]] = []
        for base in GRID_BASES:
            for vocabulary in GRID_VOCABULARIES:  # in job order
                parts = data["grid"][vocabulary]
                jobs += [job_steps(costs, base, parts, tasks, teacher=teacher)] * GRID_VARIANTS
        result["n_jobs"] = len(jobs)
        played = {place: play(jobs, workers, start=2 * costs.start) for place, workers in numbers.items()}
        played["a worker per job"] = play(jobs, len(jobs), start=2 * costs.start)
        result[name] = {
            place: {"wall": run.wall, "busy": run.busy, "waited": run.waited} for place, run in played.items()
        }
    return result


def parts_of(tasks: list[Task], data: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """Return the seconds of the sweep's parts."""
    static = costs.embedding["static"]
    scores = {model: {task.name: task.seconds(costs.embedding[model]) for task in tasks} for model in GRID_BASES}
    student = {task.name: task.seconds(static) for task in tasks}
    largest = max(tasks, key=lambda task: task.size.texts)
    passes = {
        base: {
            name: sum(costs.forward[base](positions=part["positions"]) for part in parts)
            for name, parts in data["grid"].items()
        }
        for base in GRID_BASES
    }
    return {
        "student": student,
        "teachers": scores,
        "passes": passes,
        "texts": sum(task.size.texts for task in tasks),
        "characters": sum(task.size.characters for task in tasks),
        "largest": [largest.name, asdict(largest.size)],
    }


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    file = TARGET / "scale.json"
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    measure(data, lambda data: write_json(file, data))
    costs = Costs.fit(data)
    record = {"measured": data, "check": predict_check(data, costs), "sweep": predict_sweep(data, costs)}
    for name, text in report.tables(record, costs).items():
        (TARGET / f"scale-{name}.md").write_text(text + "\n", encoding="utf-8")
        print(text, end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
