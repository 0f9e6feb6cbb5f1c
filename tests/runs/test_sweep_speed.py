"""Test the speeds of a real sweep in subprocesses."""

from dataclasses import replace
from pathlib import Path

import pytest

from m2v_bench.results.experiment import find_experiment
from m2v_bench.results.record import RunRecord
from m2v_bench.runs import sweep_speed
from m2v_bench.runs.sweep_speed import time_together
from tests.conftest import run_bench

OVERRIDES = [
    "baseline=[glove-6b-50d]",
    "suite=custom",
    "suite.tasks=[SimLex999WordSim]",
    "tracking=none",
    "sweep.name=mine",
]


def records(home: Path) -> dict[Path, RunRecord]:
    jobs = find_experiment("mine", home / "results").jobs
    return {job.folder: job.record for job in jobs if job.record is not None}


def sessions(home: Path) -> set[str | None]:
    return {speed.session for record in records(home).values() for speed in record.speed}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("speed")
    sweep = run_bench("-m", "pca_dims=16,64", *OVERRIDES, cwd=home)
    assert sweep.returncode == 0, sweep.stderr
    return home


def test_sweep_is_timed_together_again_for_a_new_model(home: Path):
    (first,) = sessions(home)
    assert "timed together" in (home / "results" / "figures" / "mine-speed.svg").read_text()
    assert [len(record.speed) for record in records(home).values()] == [2, 2]
    again = run_bench("-m", "pca_dims=16,64", *OVERRIDES, cwd=home)
    assert again.returncode == 0, again.stderr
    assert sessions(home) == {first}
    more = run_bench("-m", "pca_dims=16,64,256", *OVERRIDES, cwd=home)
    assert more.returncode == 0, more.stderr
    (second,) = sessions(home)
    assert second != first
    assert len(records(home)) == 3


@pytest.mark.parametrize("case", ["no speed", "other machine", "other texts", "deleted model", "many models"])
def test_speeds_that_are_not_comparable_are_kept(home: Path, monkeypatch: pytest.MonkeyPatch, case: str):
    jobs = records(home)
    for number, (folder, record) in enumerate(list(jobs.items())):
        speeds = [replace(speed, session=f"s{number}") for speed in record.speed]
        if case == "other machine":
            speeds = [replace(speed, hardware={**speed.hardware, "processor": "another"}) for speed in speeds]
        if case == "no speed":
            speeds = []
        jobs[folder] = replace(record, speed=speeds)
        if case == "other texts":
            jobs[folder] = replace(jobs[folder], settings={**record.settings, "seed": number})
        if case == "deleted model":
            (folder / "model").rename(folder / "gone")
    if case == "many models":
        monkeypatch.setattr(sweep_speed, "MOST", 2)
    before = [record.to_json() for record in jobs.values()]
    try:
        timed = time_together(jobs, home / "no sweep", home / "results")
    finally:
        for folder in jobs:
            if (folder / "gone").is_dir():
                (folder / "gone").rename(folder / "model")
    assert [record.to_json() for record in timed] == before
    assert not (home / "no sweep").exists()
