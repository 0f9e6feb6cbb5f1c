from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m2v_bench.analysis.report import report_sweep
from m2v_bench.analysis.samples import Samples, write_samples
from m2v_bench.analysis.signature import signature
from m2v_bench.cache import write_json


def record(label: str, revision: str, score: float, teacher: float, **settings: Any) -> dict[str, Any]:
    def row(label: str, revision: str, kind: str, main_score: float) -> dict[str, Any]:
        fields = {"model": f"m/{label}", "task": "T", "type": "STS", "state": "scored", "reason": None, "seconds": 1.0}
        return {**fields, "label": label, "revision": revision, "kind": kind, "main_score": main_score}

    return {
        "label": label,
        "revision": revision,
        "teacher": "teacher",
        "signature": "s",
        "variant": {"base_model": settings.get("base_model.name", "a").rsplit("/", 1)[-1]},
        "settings": {"pca.dims": 16, "weighting.name": "sif", "seed": 42, **settings},
        "scores": [row(label, revision, "static", score), row("teacher", "t", "transformer", teacher)],
    }


def scores(results_dir: Path) -> dict[str, float]:
    rows = pd.read_csv(results_dir / "tables" / "x.csv")
    return dict(zip(rows["label"], rows["main_score"], strict=True))


def test_jobs_that_differ_only_in_the_seed_are_told_apart(tmp_path: Path):
    jobs = [record("a", "r", 0.5, 0.6, seed=1), record("a", "r", 0.7, 0.8, seed=2)]
    report_sweep(jobs, tmp_path, name="x", axis=None)
    assert scores(tmp_path) == {"a seed=1": 0.5, "a seed=2": 0.7, "teacher seed=1": 0.6, "teacher seed=2": 0.8}
    table = (tmp_path / "tables" / "x.md").read_text()
    assert f"{100 * 0.5 / 0.6:.1f}" in table
    assert f"{100 * 0.7 / 0.8:.1f}" in table


def test_models_of_the_same_label_and_another_revision_are_told_apart(tmp_path: Path):
    jobs = [record("a", "r1", 0.5, 0.6, **{"base_model.name": "x/a"}), record("a", "r2", 0.7, 0.6)]
    jobs[1]["settings"]["base_model.name"] = "y/a"
    report_sweep(jobs, tmp_path, name="x", axis=None)
    assert scores(tmp_path) == {"a r1": 0.5, "a r2": 0.7, "teacher": 0.6}


def test_a_second_swept_setting_is_a_line_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    drawn: dict[str, Any] = {}
    monkeypatch.setattr(
        "m2v_bench.analysis.report.score_lines", lambda series, references, path, **_: drawn.update(series)
    )
    jobs = [
        record(f"{dims} {name}", f"{dims}{name}", score, 0.9, **{"pca.dims": dims, "weighting.name": name})
        for name, dims, score in (("none", 16, 0.1), ("none", 32, 0.2), ("sif", 16, 0.3), ("sif", 32, 0.4))
    ]
    report_sweep(jobs, tmp_path, name="x", axis="pca.dims")
    assert drawn == {"weighting.name=none": {"16": 0.1, "32": 0.2}, "weighting.name=sif": {"16": 0.3, "32": 0.4}}


@pytest.mark.parametrize(("second", "ticks"), [("y/b-int8", {"a", "b-int8-derived"}), ("y/a", {"x/a", "y/a"})])
def test_a_base_model_is_called_on_the_axis_what_its_results_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, second: str, ticks: set[str]
):
    drawn: dict[str, Any] = {}
    monkeypatch.setattr("m2v_bench.analysis.report.score_lines", lambda series, *_, **__: drawn.update(series))
    jobs = [record(name, name, 0.5, 0.6, **{"base_model.name": name}) for name in ("x/a", second)]
    jobs[1]["variant"]["base_model"] = jobs[1]["variant"]["base_model"].replace("int8", "int8-derived")
    report_sweep(jobs, tmp_path, name="x", axis="base_model.name")
    assert set(drawn["distilled"]) == ticks


def test_a_sweeps_signature_names_all_that_was_swept(tmp_path: Path):
    jobs = [record("a", "r1", 0.5, 0.6, seed=1), record("b", "r2", 0.7, 0.6, seed=2)]
    for job, dialect in zip(jobs, ("m2v-0.1", "m2v-0.7"), strict=True):
        job["signature"] = signature(
            suite="x",
            n_tasks=1,
            aggregation="micro",
            dialect=dialect,
            seed=job["settings"]["seed"],
            versions={"m2v_bench": "1", "mteb": "2"},
        )
    report_sweep(jobs, tmp_path, name="x", axis=None)
    line = (tmp_path / "tables" / "x.md").read_text().strip().splitlines()[-1]
    assert line == (
        "suite x (1 tasks); average over tasks (micro); main scores x 100, (n/N tasks); dialect m2v-0.1 and m2v-0.7; "
        "seed 1 and 2; m2v_bench 1, mteb 2"
    )


def test_a_sweep_marks_what_is_not_separable_from_its_best(tmp_path: Path):
    jobs = [record(label, f"r{label}", score, 0.9) for label, score in (("a", 0.5), ("b", 0.52), ("c", 0.2))]
    known = {"a": 0.5, "b": 0.52, "c": 0.2, "teacher": 0.9}
    for number, (label, share) in enumerate(known.items()):
        place = Path(f"m__{label}", "t" if label == "teacher" else f"r{label}")
        write_json(tmp_path / "results" / place / "model_meta.json", {"name": f"m/{label}"})
        write_json(tmp_path / "results" / place / "T.json", {})
        values = (np.random.default_rng(number).permutation(100) < 100 * share).astype(np.float32)
        write_samples(tmp_path / "samples" / place / "T.npz", {"test/default": Samples("mean", values, None, "text")})
    for job in jobs:  # no teacher in it: the two good ones are then together
        job["scores"] = job["scores"][:1]
    report_sweep(jobs, tmp_path, name="x", axis=None)
    text = (tmp_path / "tables" / "x.md").read_text()
    assert [line.count("†") for line in text.splitlines()[2:5]] == [2, 2, 0]
    assert "Holm" in text


def test_a_sweep_without_samples_says_so(tmp_path: Path):
    report_sweep([record("a", "r1", 0.5, 0.6), record("b", "r2", 0.7, 0.6)], tmp_path, name="x", axis=None)
    assert "not tested for chance" in (tmp_path / "tables" / "x.md").read_text()
