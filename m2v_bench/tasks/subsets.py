"""Check that a task's data has the subsets and splits that the task is scored on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mteb.abstasks import AbsTask, AbsTaskRetrieval

from m2v_bench.errors import BenchError, refuse_lfs_pointer


def lacking(task: AbsTask) -> str:
    """Check a task's local repository by its README and, where a column names the subsets, by that column.

    Returns:
        The missing subsets or splits, and how to choose existing ones; an empty string if none is missing or only
        loading can show it.
    """
    folder = Path(str(task.metadata.dataset["path"]))
    loader = type(task).load_data
    if not folder.is_absolute() or loader not in (AbsTask.load_data, AbsTaskRetrieval.load_data):
        return ""
    subsets = [str(subset) for subset in task.hf_subsets or []]
    grouped = bool(task.fast_loading) and task.metadata.is_multilingual and loader is AbsTask.load_data
    configs = _groups(folder) if grouped else _configs(folder)
    if not configs:
        return ""
    if task.metadata.is_multilingual:
        end = "-qrels" if isinstance(task, AbsTaskRetrieval) else ""
        present = {name.removesuffix(end): splits for name, splits in configs.items() if name.endswith(end)}
        if absent := [subset for subset in subsets if subset not in present]:
            return _describe(task, "subsets", list(present), absent)
        configs = {subset: present[subset] for subset in subsets}
    else:
        name = task.metadata.dataset.get("name", "default")
        configs = {name: configs[name]} if name in configs else {}
    if type(task).dataset_transform is not AbsTask.dataset_transform:  # a transform may create splits
        return ""
    for splits in configs.values():
        absent = [split for split in task.eval_splits if split not in splits]
        # mteb accepts a single split of a retrieval set under any name
        if splits and absent and not (isinstance(task, AbsTaskRetrieval) and len(splits) == 1):
            return _describe(task, "splits", splits, absent)
    return ""


def check_loaded(task: AbsTask) -> None:
    """Refuse a loaded task without a subset or split that mteb would use.

    Raises:
        BenchError: with the loaded subsets or splits, and how to choose them.
    """
    data = task.dataset
    if isinstance(task, AbsTaskRetrieval) or not isinstance(data, Mapping) or getattr(task, "parallel_subsets", False):
        return
    for subset in task.hf_subsets or []:
        if subset not in data and subset != "default":
            absent = [str(name) for name in task.hf_subsets if name not in data]
            raise BenchError(f"{task.metadata.name} {_describe(task, 'subsets', list(data), absent)}")
        splits: Any = data.get(subset, data)
        if absent := [split for split in task.eval_splits if split not in splits]:
            raise BenchError(f"{task.metadata.name} {_describe(task, 'splits', list(splits), absent)}")


def _describe(task: AbsTask, kind: str, present: list[str], absent: list[str]) -> str:
    wanted = task.hf_subsets if kind == "subsets" else task.eval_splits
    allowed = task.metadata.hf_subsets_to_langscripts if kind == "subsets" else task.metadata.eval_splits
    chosen = [name for name in wanted if name not in absent] or [name for name in present if name in allowed]
    fix = f"; choose: 'suite.tasks=[{{name: {task.metadata.name}, {kind}: [{', '.join(chosen)}]}}]'" if chosen else ""
    return f"has the {kind} {', '.join(present) or '(none)'}, not {', '.join(absent)}{fix}"


def _configs(folder: Path) -> dict[str, list[str]]:
    """Return the configurations that the README lists, with their splits if named; empty if it lists none."""
    from huggingface_hub import metadata_load

    readme = folder / "README.md"
    if not readme.is_file():
        return {}
    try:
        listed = (metadata_load(readme) or {}).get("configs") or []
        return {str(config["config_name"]): _splits(config.get("data_files")) for config in listed}
    except Exception:  # invalid YAML or an unknown form of README; loading the data will show what is missing
        return {}


def _splits(files: Any) -> list[str]:
    if isinstance(files, list) and all(isinstance(entry, dict) and "split" in entry for entry in files):
        return [str(entry["split"]) for entry in files]
    return []


def _groups(folder: Path) -> dict[str, list[str]]:
    """Return the values of the column `lang` in the parquet files, by which mteb groups data into subsets."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "README.md"]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    groups: dict[str, list[str]] = {}
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
            groups |= {str(name): splits for name in names}
    return groups
