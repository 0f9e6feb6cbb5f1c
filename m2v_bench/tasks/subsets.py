"""Compare the subsets and splits that a task is scored on with those that its data has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mteb.abstasks import AbsTask, AbsTaskRetrieval

from m2v_bench.cache import refuse_lfs_pointer
from m2v_bench.errors import BenchError


def lacking(task: AbsTask) -> str:
    """What a task's local repository lacks, by its README and, where a column names the subsets, by that column.

    Returns:
        What is there and how to choose it; an empty text where nothing is missing or only loading can tell.
    """
    folder = Path(str(task.metadata.dataset["path"]))
    reads = type(task).load_data
    if not folder.is_absolute() or reads not in (AbsTask.load_data, AbsTaskRetrieval.load_data):
        return ""
    subsets = [str(subset) for subset in task.hf_subsets or []]
    grouped = bool(task.fast_loading) and task.metadata.is_multilingual and reads is AbsTask.load_data
    configs = _groups(folder) if grouped else _configs(folder)
    if not configs:
        return ""
    if task.metadata.is_multilingual:
        end = "-qrels" if isinstance(task, AbsTaskRetrieval) else ""
        there = {name.removesuffix(end): splits for name, splits in configs.items() if name.endswith(end)}
        if absent := [subset for subset in subsets if subset not in there]:
            return _told(task, "subsets", list(there), absent)
        configs = {subset: there[subset] for subset in subsets}
    else:
        name = task.metadata.dataset.get("name", "default")
        configs = {name: configs[name]} if name in configs else {}
    if type(task).dataset_transform is not AbsTask.dataset_transform:  # which may make splits
        return ""
    for splits in configs.values():
        absent = [split for split in task.eval_splits if split not in splits]
        # mteb takes the only split of a retrieval set, whatever its name
        if splits and absent and not (isinstance(task, AbsTaskRetrieval) and len(splits) == 1):
            return _told(task, "splits", splits, absent)
    return ""


def check_loaded(task: AbsTask) -> None:
    """Refuse a loaded task that lacks a subset or split that mteb would ask for.

    Raises:
        BenchError: with what was loaded and how to choose it.
    """
    data = task.dataset
    if isinstance(task, AbsTaskRetrieval) or not isinstance(data, Mapping) or getattr(task, "parallel_subsets", False):
        return
    for subset in task.hf_subsets or []:
        if subset not in data and subset != "default":
            absent = [str(name) for name in task.hf_subsets if name not in data]
            raise BenchError(f"{task.metadata.name} {_told(task, 'subsets', list(data), absent)}")
        splits: Any = data.get(subset, data)
        if absent := [split for split in task.eval_splits if split not in splits]:
            raise BenchError(f"{task.metadata.name} {_told(task, 'splits', list(splits), absent)}")


def _told(task: AbsTask, what: str, there: list[str], absent: list[str]) -> str:
    wanted = task.hf_subsets if what == "subsets" else task.eval_splits
    allowed = task.metadata.hf_subsets_to_langscripts if what == "subsets" else task.metadata.eval_splits
    chosen = [name for name in wanted if name not in absent] or [name for name in there if name in allowed]
    how = f"; choose: 'suite.tasks=[{{name: {task.metadata.name}, {what}: [{', '.join(chosen)}]}}]'" if chosen else ""
    return f"has the {what} {', '.join(there) or '(none)'}, not {', '.join(absent)}{how}"


def _configs(folder: Path) -> dict[str, list[str]]:
    """The configurations that the README lists, with their splits where it names them; empty where it lists none."""
    from huggingface_hub import metadata_load

    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    try:
        listed = (metadata_load(readme) or {}).get("configs") or []
        return {str(each["config_name"]): _splits(each.get("data_files")) for each in listed}
    except Exception:  # of YAML, or a README of another form: loading the data tells
        return {}


def _splits(files: Any) -> list[str]:
    if isinstance(files, list) and all(isinstance(each, dict) and "split" in each for each in files):
        return [str(each["split"]) for each in files]
    return []


def _groups(folder: Path) -> dict[str, list[str]]:
    """The values of the column `lang` in the parquet files, by which mteb groups some data into subsets."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    found: dict[str, list[str]] = {}
    splits = _configs(folder).get("default", [])
    for path in paths:
        if path.suffix != ".parquet":
            return {}
        refuse_lfs_pointer(path)
        with path.open("rb") as file:
            table = pq.ParquetFile(file)
            if "lang" not in table.schema_arrow.names:
                return {}
            names = pc.unique(table.read(columns=["lang"])["lang"]).to_pylist()
            found |= {str(name): splits for name in names}
    return found
