import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from m2v_bench.cache import write_json
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.paper.verify import TOLERANCES, Line, verify, verify_grid
from m2v_bench.results.record import Score
from m2v_bench.tasks import load_suite
from tests.conftest import as_model, tiny_static_model

TEACHER = "sentence-transformers/all-MiniLM-L6-v2"
Scored = tuple[list[Score], Path]


def score(results: Path, tasks: Sequence[Any], *, hub_dir: Path | None = None, seed: int = 42, **fields: Any) -> None:
    """Score a four-word model under the given name."""
    model = as_model(tiny_static_model(["a", "the", "man", "woman"]), "words", **fields)
    suite = load_suite(
        benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=hub_dir and str(hub_dir), seed=seed
    )
    encoders = {model.label: MtebEncoder(model, seed=seed)}
    evaluate(encoders, [model], suite, Session(Store(results), seed=seed, batch_size=32, debug=True))


def edit(results: Path, task: str, change: dict[str, Any]) -> None:
    """Change fields of a result file, or its main score, in place."""
    (path,) = (results / "results").rglob(f"{task}.json")
    content = json.loads(path.read_text())
    if "main_score" in change:
        content["scores"]["test"][0]["main_score"] = change.pop("main_score")
    if "split" in change:
        content["scores"] = {change.pop("split"): content["scores"]["test"]}
    path.write_text(json.dumps({**content, **change}))


def as_run(scored: Scored, folder: Path) -> Path:
    """Create a run folder below the results folder, as `run.run` does."""
    shutil.copytree(scored[1], folder, dirs_exist_ok=True)
    run = folder / "runs" / "today"
    run.mkdir(parents=True)
    record = {
        "scores": [score.as_row() for score in scored[0]],
        "settings": {"seed": 42, "results_dir": "elsewhere", "suite.name": "custom"},
        "signature": "suite custom; seed 42",
    }
    write_json(run / "record.json", record)
    return run


@pytest.fixture
def copied(teacher_scores: Scored, tmp_path: Path) -> Path:
    return Path(shutil.copytree(teacher_scores[1], tmp_path / "copy"))


def verdicts(lines: Sequence[Line]) -> dict[str, str]:
    return {line.task: line.verdict for line in lines}


def test_the_real_teacher_is_green_at_the_published_dataset_revision(teacher_scores: Scored):
    report = verify(teacher_scores[1])
    report.judge()
    assert verdicts(report.lines) == {"STSBenchmark": "green", "AmazonCounterfactualClassification": "not comparable"}
    (other,) = [line for line in report.lines if line.reason]
    assert other.reason == "published on dataset revision e8379541, here 1f7e6a9d"
    assert other.reason in "\n".join(verify_grid(report).notes)


def test_another_revision_is_judged_on_request_with_a_note(teacher_scores: Scored):
    report = verify(teacher_scores[1], any_revision=True)
    assert set(verdicts(report.lines).values()) == {"green"}
    assert any("judged anyway: published on dataset revision" in note for note in verify_grid(report).notes)


def test_a_different_model_with_the_same_name_is_red(hub_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    score(tmp_path, ["STSBenchmark"], hub_dir=hub_dir, name=TEACHER)
    with pytest.raises(SystemExit, match="1"):
        main(["verify", str(tmp_path)])
    output = capsys.readouterr()
    assert "0 green, 1 red, 0 not comparable" in output.out
    assert "red: 1 of 1 scores are not the published ones" in output.err


@pytest.mark.parametrize(("distance", "verdict"), [(0.9, "green"), (-0.9, "green"), (1.1, "red"), (-1.1, "red")])
def test_the_tolerance_separates_green_from_red(copied: Path, distance: float, verdict: str):
    published = next(line.published for line in verify(copied).lines if line.task == "STSBenchmark")
    edit(copied, "STSBenchmark", {"main_score": published + distance * TOLERANCES["STS"][0]})
    assert verdicts(verify(copied).lines)["STSBenchmark"] == verdict


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"split": "validation"}, "published on test/default, here validation/default"),
        ({"dataset_revision": "abc"}, "published on dataset revision b0fddb56, here abc"),
        ({"main_score": float("nan")}, "the score is not a number"),
    ],
)
def test_scores_from_different_data_are_not_judged(copied: Path, change: dict[str, Any], reason: str):
    edit(copied, "STSBenchmark", change)
    report = verify(copied)
    assert {line.task: line.reason for line in report.lines}["STSBenchmark"] == reason
    with pytest.raises(BenchError, match="nothing is comparable: 0 green, 0 red, 2 not comparable"):
        report.judge()


def test_a_different_seed_is_not_comparable(hub_dir: Path, tmp_path: Path):
    score(tmp_path, ["STSBenchmark"], hub_dir=hub_dir, name=TEACHER, seed=7)
    (line,) = verify(tmp_path).lines
    assert line.reason == "drawn with seed 7, published with 42"


def test_unpublished_scores_are_listed_and_verify_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    score(tmp_path, ["SimLex999WordSim"])
    with pytest.raises(SystemExit, match="1"):
        main(["verify", str(tmp_path), "--format", "markdown"])
    output = capsys.readouterr()
    assert "no published score of words on SimLex999WordSim" in output.out
    assert "nothing is comparable" in output.err


def test_a_run_is_judged_by_its_models_and_tasks_only(teacher_scores: Scored, hub_dir: Path, tmp_path: Path):
    run = as_run(([score for score in teacher_scores[0] if score.task == "STSBenchmark"], teacher_scores[1]), tmp_path)
    score(tmp_path, ["STSBenchmark"], hub_dir=hub_dir, name=TEACHER)  # from another run, in the same results folder
    report = verify(run)
    assert verdicts(report.lines) == {"STSBenchmark": "green"}
    assert report.signature.startswith("suite custom; each task by itself, main scores 0 to 1; seed 42; m2v_bench ")
    assert "red" in {line.verdict for line in verify(tmp_path).lines}


def test_failed_scores_of_a_run_are_listed(teacher_scores: Scored, tmp_path: Path):
    first, second = teacher_scores[0]
    failed = replace(second, main_score=None, state="failed", reason="no memory")
    report = verify(as_run(([first, failed], teacher_scores[1]), tmp_path))
    assert len(report.lines) == 1
    assert report.notes == [f"the run has no score of all-MiniLM-L6-v2 on {second.task} (failed: no memory)"]


def test_a_result_file_overwritten_after_the_run_is_detected(teacher_scores: Scored, tmp_path: Path):
    run = as_run(teacher_scores, tmp_path)
    edit(tmp_path, "STSBenchmark", {"main_score": 0.5})
    line = next(line for line in verify(run).lines if line.task == "STSBenchmark")
    assert line.verdict == "not comparable"
    assert "written again after the run, which got 0.82032" in str(line.reason)


@pytest.mark.parametrize("loss", ["deleted", "torn", "folder"])
def test_a_score_without_its_result_file_is_not_verified(
    teacher_scores: Scored, tmp_path: Path, loss: str, capsys: pytest.CaptureFixture[str]
):
    """Deleting the result file of a red score must not turn verification green."""
    run = as_run(teacher_scores, tmp_path)
    (path,) = (tmp_path / "results").rglob("AmazonCounterfactualClassification.json")
    if loss == "torn":
        path.write_text(path.read_text()[:50])
    elif loss == "deleted":
        path.unlink()
    else:
        record = json.loads((run / "record.json").read_text())
        extra = {**record["scores"][1], "model": "org/gone", "revision": "r"}
        (run / "record.json").write_text(json.dumps({**record, "scores": [*record["scores"], extra]}))
    for folder in [run] if loss != "torn" else [run, tmp_path]:
        with pytest.raises(SystemExit, match="1"):
            main(["verify", str(folder)])
        output = capsys.readouterr()
        assert "result files that are gone or damaged: 1; run the same command again" in output.err
        assert "AmazonCounterfactualClassification" in output.err


def test_a_folder_without_a_run_is_refused(tmp_path: Path):
    with pytest.raises(BenchError, match=r"neither a finished run .* nor a results folder"):
        verify(tmp_path)
    (tmp_path / "results").mkdir()
    with pytest.raises(BenchError, match="holds no result files"):
        verify(tmp_path)
    (tmp_path / "record.json").write_text("{")
    with pytest.raises(BenchError, match="cannot be read"):
        verify(tmp_path)


def test_a_run_without_its_results_reports_the_folder_searched(teacher_scores: Scored, tmp_path: Path):
    run = as_run(teacher_scores, tmp_path / "here")
    shutil.move(run, tmp_path / "alone")
    with pytest.raises(BenchError, match="its result files are not in elsewhere"):
        verify(tmp_path / "alone")


def test_every_published_type_has_a_tolerance():
    from m2v_bench.stats.aggregates import BENCHMARKS, benchmark_tasks

    types = {kind for aggregation in BENCHMARKS for kind in benchmark_tasks(aggregation).values()}
    assert types == set(TOLERANCES)
