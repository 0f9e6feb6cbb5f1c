"""Read the files that mteb and the evaluation write per model: scores, model description, costs, versions."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mteb.abstasks import AbsTask
from mteb.results import TaskResult

from m2v_bench.errors import BenchError

DEFAULT_SEED = 42
_META = "model_meta.json"  # mteb writes it beside the scores
_EXPERIMENTS = "experiments"  # mteb's folder of variants below a revision


@dataclass(frozen=True)
class Cost:
    """The cost of scoring a model on a task.

    Attributes:
        seconds: wall time.
        peak_rss_bytes: largest resident set of the process; 0 if unknown.
        texts_asked, texts_encoded: texts that the task asked for, and those encoded, as each text is encoded once.
    """

    seconds: float
    peak_rss_bytes: int = 0
    texts_asked: int = 0
    texts_encoded: int = 0


@dataclass(frozen=True)
class TaskScores:
    """The scores of a model on a task.

    Attributes:
        parts: main score (0 to 1, NaN where mteb computed none) by `split/subset`.
        dataset_revision, mteb_version: of the data, and of the package that computed the scores.
        seconds: wall time of the evaluation; None if unknown.
    """

    parts: Mapping[str, float]
    dataset_revision: str
    mteb_version: str
    seconds: float | None = None

    @functools.cached_property
    def known(self) -> dict[str, float]:
        """The parts that have a number."""
        return {part: score for part, score in self.parts.items() if np.isfinite(score)}

    @property
    def mean(self) -> float:
        """The mean over the parts that have a number."""
        return float(np.mean(list(self.known.values())))

    def missing(self, task: AbsTask) -> dict[str, list[str]]:
        """Return the subsets of a task without a score, by split."""
        absent = {}
        for split in task.eval_splits:
            scored = {part.partition("/")[2] for part in self.parts if part.partition("/")[0] == split}
            if subsets := [subset for subset in task.hf_subsets if subset not in scored]:
                absent[split] = subsets
        return absent

    def counted(self, task: AbsTask) -> dict[str, float]:
        """Return the parts that the task's main score averages over."""
        subsets = {"default"} if task.is_aggregate else set(task.hf_subsets)
        kept = {}
        for part, score in self.parts.items():
            split, _, subset = part.partition("/")
            if split in task.eval_splits and subset in subsets:
                kept[part] = score
        return kept


Loaded = tuple[dict[str, TaskScores], dict[Path, str]]
"""Scores by task, and why a result file cannot be read."""


def score_folders(root: Path) -> list[Path]:
    """Return the folders below `results/` that hold result files, one per model, revision and variant."""
    files = [*root.glob("*/*/*.json"), *root.glob(f"*/*/{_EXPERIMENTS}/*/*.json")]
    return sorted({file.parent for file in files if file.name != _META})


def read_meta(folder: Path) -> dict[str, Any]:
    """Read whose scores a folder holds from model_meta.json, else from mteb's folder names.

    Raises:
        BenchError: when the file is damaged.
    """
    experiment = folder.parent.name == _EXPERIMENTS
    revision = folder.parents[1] if experiment else folder
    meta: dict[str, Any] = {"name": revision.parent.name.replace("__", "/", 1), "revision": revision.name}
    file = folder / _META
    if not file.is_file():
        return {**meta, "experiment_kwargs": {"variant": folder.name} if experiment else {}}
    try:
        return meta | json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise BenchError(
            f"{file} is damaged ({error}); delete the folder {folder} and score its model again"
        ) from error


def kind_of(meta: Mapping[str, Any]) -> str:
    """Return what a model_meta.json describes: a `static`, `transformer` or `lexical` model."""
    if "sparse" in (meta.get("model_type") or []) or "bm25" in str(meta.get("name")).lower():
        return "lexical"
    return "static" if meta.get("framework") == ["NumPy"] else "transformer"


def read_tasks(folder: Path) -> Loaded:
    """Read the result files of one folder: scores by task, and the files that cannot be read."""
    scores: dict[str, TaskScores] = {}
    damaged: dict[Path, str] = {}
    for path in sorted(folder.glob("*.json")):
        if path.name == _META:
            continue
        try:
            task, task_scores = _read_file(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            damaged[path] = f"{type(error).__name__}: {error}"
            continue
        scores[task] = task_scores
    return scores, damaged


def _read_file(path: Path) -> tuple[str, TaskScores]:
    value = json.loads(path.read_text(encoding="utf-8"))
    if "mteb_dataset_name" in value:  # mteb before 1.11
        value = TaskResult.from_disk(path).to_dict()
    parts = {
        f"{split}/{row['hf_subset']}": float("nan") if row["main_score"] is None else float(row["main_score"])
        for split, rows in value["scores"].items()
        for row in rows
    }
    seconds = value.get("evaluation_time")
    return value["task_name"], TaskScores(
        parts, str(value["dataset_revision"]), str(value["mteb_version"]), None if seconds is None else float(seconds)
    )


def read_cost(folder: Path, task: str) -> Cost | None:
    """Read the cost of a task from a model's folder below `costs/`; None without a readable file."""
    try:
        cost = json.loads((folder / f"{task}.json").read_text(encoding="utf-8"))
        counts = [int(cost.get(name) or 0) for name in ("peak_rss_bytes", "texts_asked", "texts_encoded")]
        return Cost(float(cost["seconds"]), *counts)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def torch_versions(folder: Path) -> dict[str, frozenset[str]]:
    """Read the versions of torch that scored a model, by task, from what mteb notes beside the scores."""
    settings = folder / "run_settings.jsonl"
    versions: dict[str, set[str]] = {}
    for line in settings.read_text(encoding="utf-8").splitlines() if settings.is_file() else []:
        try:
            entry = json.loads(line)
            versions.setdefault(str(entry.get("task", "")), set()).add(str(entry["version"]["torch"]))
        except (ValueError, KeyError, TypeError, AttributeError):  # a line that is being written
            continue
    return {task: frozenset(known) for task, known in versions.items()}


def model_folder(name: str, revision: str, seed: int, results: Path) -> Path | None:
    """Find the folder of a model's scores with one seed, below `results/`; None where there are none or several.

    Raises:
        BenchError: when a model_meta.json is damaged.
    """
    root = results / "results"
    plain = root / name.replace("/", "__") / revision
    folders = [folder for folder in (plain, *sorted(plain.glob(f"{_EXPERIMENTS}/*"))) if any(folder.glob("*.json"))]
    variants = {folder: read_meta(folder).get("experiment_kwargs") or {} for folder in folders}
    matching = [folder for folder, variant in variants.items() if variant.get("seed", DEFAULT_SEED) == seed]
    return matching[0].relative_to(root) if len(matching) == 1 else None
