"""The records of a sweep's jobs, as its folder holds them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.results.jobs import SWEEP, read_record

Record = Mapping[str, Any]
"""What `run.run` writes to record.json."""


SPEED = "speed.json"  # in a sweep's folder: the speeds of its models, timed together at its end

_Speeds = dict[tuple[str, str], dict[str, Any]]


def read_speeds(folder: Path) -> _Speeds:
    """The speeds that a sweep's end left in its folder, by name and revision of the model; empty where it left none."""
    try:
        speeds = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        return {(each["model"], each["revision"]): each for each in speeds}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def with_speeds(record: Record, speeds: _Speeds) -> dict[str, Any]:
    """The record of a job, with the speeds of the sweep in the place of those that the job measured by itself."""
    labels = {(row["model"], row["revision"]): row["label"] for row in record["scores"]}
    own = [each for each in record.get("speed", []) if (each.get("model"), each.get("revision")) not in speeds]
    together = [{**each, "label": labels[model]} for model, each in speeds.items() if model in labels]
    return {**record, "speed": [*together, *own]}


def sweep_folder(word: str, results_dir: Path) -> Path:
    """The folder of a sweep that is named by its folder, or by its name in `results_dir`.

    Raises:
        BenchError: when there is none; the message lists those there are.
    """
    for folder in (Path(word), results_dir / "sweeps" / word):
        if (folder / SWEEP).is_file():
            return folder
    known = sorted(path.parent.name for path in results_dir.glob(f"sweeps/*/{SWEEP}"))
    raise BenchError(
        f"{word}: no sweep in {results_dir}.{did_you_mean(word, known)} It has {', '.join(known) or 'none'}; "
        "--results names another folder"
    )


def sweep_records(folder: Path) -> dict[Path, Record]:
    """The records of a sweep as it was last started, by the folders of its jobs, in its order.

    Raises:
        BenchError: when a job has not ended.
    """
    folders = [folder / name for name in json.loads((folder / SWEEP).read_text(encoding="utf-8"))["jobs"]]
    records = {each: read_record(each) for each in folders}
    if absent := [each.name for each, record in records.items() if record is None]:
        raise BenchError(
            f"{folder}: {len(absent)} of {len(folders)} jobs have no record, as {absent[0]}; "
            "start the sweep again, it goes on with those"
        )
    speeds = read_speeds(folder)
    return {each: with_speeds(record, speeds) for each, record in records.items() if record is not None}
