"""Test the comparison of two sweeps, and of two models in different results folders."""

import json
from pathlib import Path

import numpy as np
import pytest

from m2v_bench.cache import write_json
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.reports.compare import compare
from m2v_bench.reports.compare_sweeps import compare_sweeps
from tests.reports.results_folder import N_SAMPLES, TASKS, Folder


def write_sweep(folder: Folder, name: str, gains: dict[int, float], revision: str, noise: int = 1) -> None:
    """Write a sweep over PCA sizes, with scores and samples."""
    rng = np.random.default_rng(noise)
    jobs = []
    for dims, gain in gains.items():
        model = f"m2v_bench/model-{dims}"
        for number, task in enumerate(TASKS):
            hard = np.random.default_rng(number).random(N_SAMPLES)
            folder.add(model, task, hard < 0.5 + gain + 0.02 * rng.normal(size=N_SAMPLES), revision=revision)
        record = json.loads((folder.record(model, f"M2V {dims}d", revision=revision) / "record.json").read_text())
        record["settings"] = {"pca_dims": dims, "seed": 42, "sweep.name": name}
        record["key"] = f"k{dims}"
        write_json(folder.path / "sweeps" / name / f"pca_dims-{dims}" / "record.json", record)
        jobs.append(f"pca_dims-{dims}")
    keys = {job: f"k{dims}" for job, dims in zip(jobs, gains, strict=True)}
    write_json(folder.path / "sweeps" / name / "sweep.json", {"jobs": jobs, "keys": keys})


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "results")
    write_sweep(folder, "before", {64: 0.0, 128: 0.05, 256: 0.1}, "r1")
    write_sweep(folder, "after", {64: 0.2, 128: 0.05, 512: 0.1}, "r2", noise=2)
    return folder


def test_jobs_with_the_same_settings_are_compared(folder: Folder):
    grid = compare_sweeps(["before", "after"], [folder.path] * 2, replicates=500)
    assert grid.columns[:5] == ["pca_dims", "before", "after", "Tasks", "Difference"]
    rows = {row[0]: row for row in grid.rows}
    assert set(rows) == {"64", "128"}
    assert float(rows["64"][4]) == pytest.approx(-20, abs=1.5)
    assert rows["64"][-1] == "loss"
    assert rows["128"][-1] == "tie"
    assert rows["64"][3] == "3"
    assert grid.notes[0] == "2 jobs of either sweep have no counterpart"


def test_a_model_that_both_have_is_the_same(folder: Folder):
    grid = compare_sweeps(["before", "before"], [folder.path] * 2, replicates=100)
    assert {row[3] for row in grid.rows} == {"the same model"}
    assert {row[-1] for row in grid.rows} == {"untested"}


def test_sweeps_of_two_folders_have_samples_of_their_own(folder: Folder, tmp_path: Path):
    other = Folder(tmp_path / "last week")
    write_sweep(other, "before", {64: -0.2, 256: 0.1}, "r1", noise=3)
    grid = compare_sweeps(["before", "before"], [other.path, folder.path], replicates=500)
    rows = {row[0]: row for row in grid.rows}
    assert float(rows["64"][4]) == pytest.approx(-20, abs=1.5)
    assert [rows[dims][-1] for dims in ("64", "256")] == ["loss", "tie"]


def test_a_model_is_compared_with_that_of_last_week(folder: Folder, tmp_path: Path):
    other = Folder(tmp_path / "last week")
    write_sweep(other, "before", {256: -0.2}, "r1", noise=3)
    grid = compare(["model-256", "model-256"], folder.path, against=other.path, replicates=500)
    assert grid.columns[1:3] == [f"M2V 256d in {folder.path}", f"M2V 256d in {other.path}"]
    assert {row[-1] for row in grid.rows[: len(TASKS)]} == {"win"}


def test_a_sweep_named_by_its_folder_has_the_results_it_belongs_to(folder: Folder, tmp_path: Path):
    other = Folder(tmp_path / "last week")
    write_sweep(other, "before", {64: -0.2, 256: 0.1}, "r1", noise=3)
    grid = compare_sweeps([str(other.path / "sweeps" / "before"), "before"], [folder.path] * 2, replicates=500)
    assert float(grid.rows[0][4]) == pytest.approx(-20, abs=1.5)
    with pytest.raises(BenchError, match=r"--confidence 95: must lie between 0\.5 and 1"):
        compare_sweeps(["before", "after"], [folder.path] * 2, confidence=95)


def test_sweeps_without_common_settings_are_refused(folder: Folder):
    write_sweep(folder, "others", {8: 0.0, 16: 0.1}, "r3")
    with pytest.raises(BenchError, match="before and others have no combination of pca_dims in common"):
        compare_sweeps(["before", "others"], [folder.path] * 2)


def test_command(folder: Folder, capsys: pytest.CaptureFixture[str]):
    words = ["before", "after", "--results", str(folder.path), "--replicates", "200", "--format", "csv"]
    main(["compare", *words])
    assert capsys.readouterr().out.startswith("pca_dims,before,after,Tasks,Difference")
    with pytest.raises(SystemExit):
        main(["compare", "model-64@r1", "model-64@r2", "model-128@r1", "--results", str(folder.path), "--against", "x"])
    assert "--against x: compares two models; 3 are named" in capsys.readouterr().err
