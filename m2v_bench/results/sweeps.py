"""The records of a sweep's jobs, as its folder holds them."""

import json
from dataclasses import replace
from pathlib import Path

from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.results.jobs import SWEEP
from m2v_bench.results.record import RunRecord, Speed, read_record

SPEED = "speed.json"  # in a sweep's folder: the speeds of its models, timed together at its end

_Speeds = dict[tuple[str, str], Speed]


def read_speeds(folder: Path) -> _Speeds:
    """The speeds that a sweep's end left in its folder, by name and revision of the model; empty where it left none."""
    try:
        rows = json.loads((folder / SPEED).read_text(encoding="utf-8"))
        speeds = [Speed.from_json(row) for row in rows]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {(speed.model, speed.revision): speed for speed in speeds}


def with_speeds(record: RunRecord, speeds: _Speeds) -> RunRecord:
    """The record of a job, with the speeds of the sweep in the place of those that the job measured by itself."""
    labels = {(score.model, score.revision): score.label for score in record.scores}
    alone = [speed for speed in record.speed if (speed.model, speed.revision) not in speeds]
    together = [replace(speed, label=labels[model]) for model, speed in speeds.items() if model in labels]
    return replace(record, speed=[*together, *alone])


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


def sweep_records(folder: Path) -> dict[Path, RunRecord]:
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
