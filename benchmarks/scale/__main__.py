"""How the cost of a sweep grows, from measurements, and what a large one would cost on 1, 8 and 64 machines.

    python -m benchmarks.scale.__main__

Measured are forward passes at three vocabulary sizes, the embedding of texts of three lengths, tasks with a sixteenth,
a quarter and all of their samples, and what a job takes beside them. A small sweep that shares neither tasks nor
vocabulary with these is predicted and run. Writes results/bench/scale.json, and scale-*.md, the tables of
docs/scale.md. What scale.json holds is not measured again: remove it, or a part of it, to do so.
"""

import json
import sys
from collections.abc import Mapping
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
WORKERS = 2  # of a machine


def paper() -> list[SuiteTask]:
    """The 72 datasets."""
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


def predict_check(found: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """The small sweep as the model sees it: under each launcher, seconds by the clock and of processor time."""
    tasks, _ = tasks_of(suite(CHECK_TASKS, TEST_DATA / "hub"), found, costs)
    steps = job_steps(costs, CHECK_BASE, found["check_parts"], tasks, teacher=True)
    jobs = [steps] * (len(CHECK_DIMS) * len(CHECK_WEIGHTINGS))
    alone = play(jobs, 1, start=costs.start)
    # the workers import what the process that starts them has imported
    two = play(jobs, WORKERS, start=2 * costs.start)
    return {
        "local": {"wall": alone.wall, "processor": alone.busy + costs.start},
        "joblib": {"wall": two.wall, "processor": two.busy + (1 + WORKERS) * costs.start},
    }


def predict_sweep(found: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """A thousand variants on the 72 datasets: its parts, and how long it takes on some machines and on any number."""
    tasks, unknown = tasks_of(paper(), found, costs)
    numbers = {f"{n} machines" if n > 1 else "1 machine": n * WORKERS for n in MACHINES}
    result: dict[str, Any] = {"unknown": unknown, "n_tasks": len(tasks), **parts_of(tasks, found, costs)}
    for name, teacher in (("with teachers", True), ("without", False)):
        jobs: list[list[Step]] = []
        for base in GRID_BASES:
            for vocabulary in GRID_VOCABULARIES:  # in the order in which the axes are walked
                parts = found["grid"][vocabulary]
                jobs += [job_steps(costs, base, parts, tasks, teacher=teacher)] * GRID_VARIANTS
        result["n_jobs"] = len(jobs)
        played = {place: play(jobs, workers, start=2 * costs.start) for place, workers in numbers.items()}
        played["a worker per job"] = play(jobs, len(jobs), start=2 * costs.start)
        result[name] = {
            place: {"wall": each.wall, "busy": each.busy, "waited": each.waited} for place, each in played.items()
        }
    return result


def parts_of(tasks: list[Task], found: Mapping[str, Any], costs: Costs) -> dict[str, Any]:
    """What the sweep is made of, in seconds."""
    static = costs.embedding["static"]
    scores = {model: {task.name: task.seconds(costs.embedding[model]) for task in tasks} for model in GRID_BASES}
    student = {task.name: task.seconds(static) for task in tasks}
    passes = {
        base: {
            name: sum(costs.forward[base](positions=part["positions"]) for part in parts)
            for name, parts in found["grid"].items()
        }
        for base in GRID_BASES
    }
    return {
        "student": student,
        "teachers": scores,
        "passes": passes,
        "texts": sum(task.size.texts for task in tasks),
        "characters": sum(task.size.characters for task in tasks),
        "largest_texts": max(task.size.texts for task in tasks),
    }


def main() -> int:
    TARGET.mkdir(parents=True, exist_ok=True)
    file = TARGET / "scale.json"
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    measure(found, lambda found: write_json(file, found))
    costs = Costs.fit(found)
    record = {"measured": found, "check": predict_check(found, costs), "sweep": predict_sweep(found, costs)}
    for name, text in report.tables(record, costs).items():
        (TARGET / f"scale-{name}.md").write_text(text + "\n", encoding="utf-8")
        print(text, end="\n\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
