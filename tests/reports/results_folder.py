"""Write a results folder with the files that runs write."""

from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import write_json
from m2v_bench.reports.compare import compare
from m2v_bench.results.record import Score
from m2v_bench.tasks.samples import Samples, write_samples

TASKS = {"Banking77Classification": "Classification", "SciFact": "Retrieval", "MENWordSim": "WordSim"}
N_SAMPLES = 400


class Folder:
    """A results folder with the files that runs write."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, task: str, values: np.ndarray, *, revision: str = "r1", variant: str = "", **options):
        """Add a model's result on a task; options are `samples=False`, `score`, `part`, `data` and `seed`.

        `settings` are those of a distilled model.
        """
        place = Path(name.replace("/", "__"), revision, *(["experiments", variant] if variant else []))
        part = options.get("part", "test/default")
        samples = Samples("mean", np.asarray(values, np.float32), None, "text")
        split, subset = part.split("/")
        score = options.get("score", samples.score())
        result = {
            "task_name": task,
            "dataset_revision": options.get("data", "d1"),
            "mteb_version": "2.26.24",
            "scores": {split: [{"hf_subset": subset, "languages": ["eng-Latn"], "main_score": round(score, 6)}]},
        }
        write_json(self.path / "results" / place / f"{task}.json", result)
        seed: dict[str, Any] | None = {"seed": options["seed"]} if "seed" in options else None
        write_json(
            self.path / "results" / place / "model_meta.json",
            {"name": name, "experiment_kwargs": options.get("settings", seed)},
        )
        if options.get("samples", True):
            write_samples(self.path / "samples" / place / f"{task}.npz", {part: samples})

    def record(self, name: str, label: str, *, revision: str = "r1", seed: int = 42) -> Path:
        """Write the record of a run and return its folder."""
        rows = [
            Score(name, revision, label, "static", task, kind, 0.5, "read").as_row() for task, kind in TASKS.items()
        ]
        run = self.path / "runs" / f"{label}-{seed}"
        record = {
            "name": name,
            "revision": revision,
            "label": label,
            "scores": rows,
            "settings": {"seed": seed},
        }
        write_json(run / "record.json", record)
        return run

    def grid(self, *words: str, **options):
        return compare(words, self.path, replicates=200, **options)
