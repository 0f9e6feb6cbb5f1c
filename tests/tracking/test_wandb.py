"""Test logging to Weights & Biases offline: runs, baselines, a sweep's group, rebuilding."""

import json
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

from m2v_bench.config.check import check
from m2v_bench.config.compose import compose
from m2v_bench.errors import BenchError
from tests import processes
from tests.conftest import run_bench

WORDSIM = ["suite=custom", "suite.tasks=[SimLex999WordSim]", "baseline=[random]"]
_BLOCK = 32_768  # of LevelDB's log format, in which offline runs are written
_HEADER = 7


@dataclass
class Logged:
    """What an offline run holds."""

    name: str
    group: str
    kind: str
    notes: str
    config: dict[str, Any]
    summary: dict[str, Any]
    exit_code: int
    artifacts: list[str]


def records(file: Path) -> Iterator[Any]:
    """Yield the records of an offline run's file."""
    data, position, whole = file.read_bytes(), _HEADER, b""
    assert data[:4] == b":W&B"
    while position + _HEADER <= len(data):
        if _BLOCK - position % _BLOCK < _HEADER:
            position += _BLOCK - position % _BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[position : position + _HEADER])
        whole += data[position + _HEADER : position + _HEADER + length]
        position += _HEADER + length
        if kind in (1, 4):  # a full record, or the last part of one
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def read(folder: Path) -> Logged:
    logged = Logged("", "", "", "", {}, {}, -1, [])
    for record in records(next(folder.glob("*.wandb"))):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            logged.name, logged.group, logged.kind = record.run.display_name, record.run.run_group, record.run.job_type
            logged.notes = record.run.notes
            logged.config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "summary":
            logged.summary |= {
                item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.summary.update
            }
        elif kind == "exit":
            logged.exit_code = record.exit.exit_code
        elif kind == "artifact":
            logged.artifacts += [entry.path for entry in record.artifact.manifest.contents]
    return logged


def logged_in(home: Path) -> list[Logged]:
    return [read(folder) for folder in sorted((home / "wandb").glob("offline-run-*"))]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a working folder with a run and a sweep, logged offline."""
    home = tmp_path_factory.mktemp("logged")
    (home / "account").mkdir()  # without an API key
    run = run_bench("pca_dims=16", *WORDSIM, "tracking=wandb", cwd=home, HOME=str(home / "account"))
    assert run.returncode == 0, run.stderr
    overrides = ["+sweep=pca_dims", "pca_dims=16,32", *WORDSIM, "tracking=wandb"]
    sweep = run_bench(*overrides, cwd=home, HOME=str(home / "account"))
    assert sweep.returncode == 0, sweep.stderr
    return home


def test_runs_baselines_and_sweep_are_logged(home: Path):
    logged = logged_in(home)
    kinds = sorted((run.group, run.kind) for run in logged)
    assert kinds == sorted(
        [
            ("", "distilled"),
            ("", "static"),
            *[("pca_dims", "distilled")] * 2,
            ("pca_dims", "static"),
            ("pca_dims", "sweep"),
        ]
    )
    assert {run.exit_code for run in logged} == {0}
    single = next(run for run in logged if run.kind == "distilled" and not run.group)
    assert single.name == "M2V all-MiniLM-L6-v2 16d sif"
    assert single.config["pca_dims"] == 16
    assert {"average", "average.WordSim", "task/SimLex999WordSim", "size.bytes", "speed.texts_per_second"} <= set(
        single.summary
    )
    assert "| Model | Avg (1/1)" in single.notes
    assert {"record.json", "tables/table.md"} <= set(single.artifacts)
    baseline = next(run for run in logged if run.kind == "static" and not run.group)
    assert baseline.name == "random"
    assert "average" in baseline.summary
    sweep = next(run for run in logged if run.kind == "sweep")
    assert sweep.summary["failed_jobs"] == 0
    assert "tables/pca_dims.md" in sweep.artifacts
    assert not (home / "mlflow.db").exists()


def test_rebuilding_logs_only_what_is_missing(home: Path, tmp_path: Path):
    command = ["track", "rebuild", "--tracker", "wandb", "--results", str(home / "results")]
    account = {"HOME": str(home / "account")}
    before = len(logged_in(home))
    done = processes.run("m2v_bench.cli", *command, cwd=home, **account)
    assert done.returncode == 0, done.stderr
    assert "the project m2v_bench holds 3 runs" in done.stdout
    assert len(logged_in(home)) == before
    assert processes.run("m2v_bench.cli", *command, cwd=tmp_path, **account).returncode == 0
    rebuilt, live = logged_in(tmp_path), logged_in(home)
    key = lambda run: (run.group, run.kind, run.name)  # noqa: E731
    for again, first in zip(sorted(rebuilt, key=key), sorted(live, key=key), strict=True):
        assert (key(again), again.summary.get("average")) == (key(first), first.summary.get("average"))
        assert sorted(again.artifacts) == sorted(first.artifacts)


def test_a_missing_package_is_refused_before_the_run(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("m2v_bench.config.check.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(BenchError, match=r"tracking=wandb needs the package wandb[\s\S]*pip install wandb"):
        check(compose(["tracking=wandb"]))
