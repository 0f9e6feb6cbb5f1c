"""What a results folder holds: models, their scores, and their outputs on every sample."""

import functools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.results.record import RECORD, RunRecord, read_record
from m2v_bench.stats.aggregates import cqadupstack
from m2v_bench.tasks.samples import Samples, read_samples

# what mteb writes beside the scores
_NO_TASKS = {"model_meta.json"}


@dataclass(frozen=True)
class StoredModel:
    """A model whose scores are in a results folder.

    Attributes:
        name, revision, label: as in `Model`; the label from the runs' records, else the last part of the name.
        variant: `experiment_kwargs`, the settings that mteb files scores under.
        folder: of its score files below `results/` and of its samples below `samples/`.
        id: the name that tells it from all others here: `name`, `name@revision` or `name@revision/variant`.
    """

    name: str
    revision: str
    label: str
    variant: Mapping[str, Any]
    folder: Path
    id: str


@dataclass(frozen=True)
class StoredScore:
    """What a model got on one task.

    Attributes:
        parts: main score (0 to 1) by `split/subset`.
        dataset_revision, mteb_version: of the data and of the program that scored it.
    """

    parts: Mapping[str, float]
    dataset_revision: str
    mteb_version: str


def stored_models(results_dir: Path) -> list[StoredModel]:
    """Every model that has a score in the folder.

    Raises:
        BenchError: when there is none.
    """
    root = results_dir / "results"
    folders = sorted({path.parent for path in root.glob("*/*/**/*.json") if path.name not in _NO_TASKS})
    if not folders:
        raise BenchError(f"--results {results_dir}: holds no scores (no {root}/<model>/<revision>/<task>.json)")
    labels = record_facts(results_dir).labels
    found = []
    for folder in folders:
        meta = read_meta(folder)
        place = folder.relative_to(root)
        name, revision = meta["name"], place.parts[1]
        label = labels.get((name, revision)) or name.rsplit("/", 1)[-1]
        found.append((name, revision, label, meta.get("experiment_kwargs") or {}, place))
    revisions = {name: {each[1] for each in found if each[0] == name} for name, *_ in found}
    variants = [(name, revision) for name, revision, *_ in found]
    models = []
    for name, revision, label, variant, place in found:
        several = variants.count((name, revision)) > 1
        own = f"{name}@{revision}" if several or len(revisions[name]) > 1 else name
        tail = f"/{place.name}" if several and len(place.parts) > 2 else ""
        models.append(StoredModel(name, revision, label, variant, place, own + tail))
    return models


def read_meta(folder: Path) -> dict[str, Any]:
    """Whose scores a folder holds, as its model_meta.json says; mteb's layout says it where there is none.

    Raises:
        BenchError: when the file is damaged.
    """
    experiment = folder.parent.name == "experiments"
    revision = folder.parents[1] if experiment else folder
    meta: dict[str, Any] = {"name": revision.parent.name.replace("__", "/", 1), "revision": revision.name}
    file = folder / "model_meta.json"
    if not file.is_file():
        return {**meta, "experiment_kwargs": {"variant": folder.name} if experiment else {}}
    try:
        return meta | json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError) as error:
        raise BenchError(
            f"{file} is damaged ({error}); delete the folder {folder} and score its model again"
        ) from error


def kind_of(meta: Mapping[str, Any]) -> str:
    """What kind of model a model_meta.json is of: `static`, `transformer` or `lexical`."""
    if "sparse" in (meta.get("model_type") or []) or "bm25" in str(meta.get("name")).lower():
        return "lexical"
    return "static" if meta.get("framework") == ["NumPy"] else "transformer"


def find_models(words: Iterable[str], results_dir: Path) -> list[StoredModel]:
    """The models that words mean: a run's folder, a name or label or part of one, or `name@revision/variant`.

    Raises:
        BenchError: when a word means none or several; the message lists what there is.
    """
    models = stored_models(results_dir)
    return [_find(word, models, results_dir) for word in words]


def _find(word: str, models: Sequence[StoredModel], results_dir: Path) -> StoredModel:
    if (Path(word) / RECORD).is_file():
        record = read_record(Path(word))
        if record is None:
            raise BenchError(f"{Path(word) / RECORD}: cannot be read; move it away or start the run again")
        return _of_run(word, record, models, results_dir)
    whole = [each for each in models if word in (each.id, each.name, each.label, _address(each))]
    part = [each for each in models if word.lower() in f"{_address(each)}\n{each.label}".lower()]
    found = whole or part
    if len(found) == 1:
        return found[0]
    if not found:
        names = [*(each.name for each in models), *(each.label for each in models)]
        raise BenchError(f"{word}: no such model in {results_dir}.{did_you_mean(word, names)} {_listed(models)}")
    raise BenchError(f"{word}: means {len(found)} models in {results_dir}. {_listed(found)}")


def _address(model: StoredModel) -> str:
    tail = f"/{model.folder.name}" if len(model.folder.parts) > 2 else ""
    return f"{model.name}@{model.revision}{tail}"


def _listed(models: Iterable[StoredModel]) -> str:
    return "Name one of:\n" + "\n".join(f"  {each.id}  ({each.label})" for each in models)


def _of_run(word: str, record: RunRecord, models: Sequence[StoredModel], results_dir: Path) -> StoredModel:
    same = [each for each in models if (each.name, each.revision) == (record.name, record.revision)]
    own = [each for each in same if each.variant.get("seed", 42) == record.seed]
    if len(own) != 1:
        raise BenchError(
            f"{word}: the scores of this run, {record.name}@{record.revision} with seed {record.seed}, are not in "
            f"{results_dir}; name its folder with --results"
        )
    return own[0]


def read_scores(model: StoredModel, results_dir: Path) -> dict[str, StoredScore]:
    """The scores of a model by task; a part without a score is left out.

    An aggregate that was not scored itself is there beside its tasks when all of them are, as in `aggregates.fold`.

    Raises:
        BenchError: when a file cannot be read.
    """
    scores = {}
    for path in sorted((results_dir / "results" / model.folder).glob("*.json")):
        if path.name in _NO_TASKS:
            continue
        value = _read_json(path)
        try:
            parts = {
                f"{split}/{each['hf_subset']}": each["main_score"]
                for split, subsets in value["scores"].items()
                for each in subsets
            }
            known = {name: float(each) for name, each in parts.items() if each is not None and math.isfinite(each)}
            if known:
                scores[value["task_name"]] = StoredScore(known, value["dataset_revision"], value["mteb_version"])
        except (KeyError, TypeError, AttributeError) as error:
            what = f"{type(error).__name__}: {error}"
            raise BenchError(f"{path}: is no result file of mteb ({what}); move it away") from None
    return _folded(scores)


def _folded(scores: dict[str, StoredScore]) -> dict[str, StoredScore]:
    for whole, tasks in cqadupstack().items():
        if whole in scores or not set(tasks) <= set(scores):
            continue
        known = [scores[task] for task in tasks]
        mean = float(np.mean([np.mean(list(each.parts.values())) for each in known]))
        mteb_version = " and ".join(sorted({each.mteb_version for each in known}))
        scores[whole] = StoredScore({"test/default": mean}, _aggregate_revision(whole), mteb_version)
    return scores


@functools.cache
def _aggregate_revision(whole: str) -> str:
    import mteb

    return str(mteb.get_task(whole).metadata.dataset["revision"])


def model_folder(name: str, revision: str, seed: int, results_dir: Path) -> Path | None:
    """The folder of a model's scores with one seed, below `results/`; None where there is none, or more than one."""
    root = results_dir / "results"
    own = root / name.replace("/", "__") / revision
    folders = [each for each in (own, *sorted(own.glob("experiments/*"))) if any(each.glob("*.json"))]
    found = [each for each in folders if (read_meta(each).get("experiment_kwargs") or {}).get("seed", 42) == seed]
    return found[0].relative_to(root) if len(found) == 1 else None


def read_task_samples(folder: Path, task: str, results_dir: Path) -> dict[str, Samples] | None:
    """The samples of a model on a task by `split/subset`, or None when there is no file.

    Args:
        folder: of the model, below `samples/`.
        task: name of the task.
        results_dir: folder of results.

    Raises:
        BenchError: when the file is damaged.
    """
    path = results_dir / "samples" / folder / f"{task}.npz"
    if not path.is_file():
        return _of_its_tasks(folder, task, results_dir)
    try:
        return read_samples(path)
    except Exception as error:  # numpy and zipfile raise half a dozen kinds
        raise BenchError(f"{path}: cannot be read ({error}); delete it and score the task again") from None


def _of_its_tasks(folder: Path, whole: str, results_dir: Path) -> dict[str, Samples] | None:
    """The samples of an aggregate that was scored task by task, under the keys that its own file would have."""
    if whole not in cqadupstack():
        return None
    known = {task: read_task_samples(folder, task, results_dir) for task in cqadupstack()[whole]}
    found: dict[str, Samples] = {}
    for task, parts in known.items():
        if parts is None:
            return None
        found |= {f"{task}/{key}": part for key, part in parts.items()}
    return found


def task_types(tasks: Iterable[str], results_dir: Path) -> dict[str, str]:
    """The type of each task: what the runs' records say, else mteb; `Other` where neither knows it."""
    known = record_facts(results_dir).types
    return {task: known.get(task) or _mteb_type(task) for task in tasks}


@functools.cache
def _mteb_type(task: str) -> str:
    import mteb

    from m2v_bench.tasks.suite import OWN_TASKS

    if task in OWN_TASKS:
        return OWN_TASKS[task].group or str(OWN_TASKS[task].metadata.type)
    try:
        return str(mteb.get_task(task).metadata.type)
    except KeyError:
        return "Other"


@dataclass(frozen=True)
class RecordFacts:
    """What the records of a folder's runs and sweeps say.

    Attributes:
        labels, kinds: of a model, by name and revision.
        types: of a task, by name.
        damaged: the records that cannot be read.
    """

    labels: dict[tuple[str, str], str]
    kinds: dict[tuple[str, str], str]
    types: dict[str, str]
    damaged: list[Path]

    @property
    def notes(self) -> list[str]:
        """What there is to say of the damaged ones."""
        return [f"cannot be read, its labels, kinds and types are not known: {path}" for path in self.damaged]


def record_facts(results_dir: Path) -> RecordFacts:
    """Read the records of all runs; one that is damaged, or being written, takes nothing from the others."""
    facts = RecordFacts({}, {}, {}, [])
    for pattern in ("runs/*/record.json", "sweeps/*/*/record.json"):
        for path in sorted(results_dir.glob(pattern)):
            if (record := read_record(path.parent)) is None:
                facts.damaged.append(path)
                continue
            for score in record.scores:
                model = score.model, score.revision
                facts.labels[model], facts.kinds[model] = score.label, score.kind
                facts.types[score.task] = score.type
    return facts


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"{path}: cannot be read ({error}); move it away or make it anew") from None
