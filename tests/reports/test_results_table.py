import io
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from pandas.api.types import is_numeric_dtype

from m2v_bench.cache import write_json
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder, model_meta
from m2v_bench.evaluation.store import Store
from m2v_bench.reports.grid import FORMATS
from m2v_bench.reports.results_table import results_grid
from m2v_bench.reports.run_report import report_run
from m2v_bench.reports.summary import daggers_of, summarise, with_daggers
from m2v_bench.results.record import RunRecord
from m2v_bench.results.score_files import kind_of
from m2v_bench.results.scores import read_results
from m2v_bench.tasks import SuiteTask, load_suite
from tests.conftest import as_model, tiny_static_model

TASKS = ["SimLex999WordSim", "WordSim353WordSim", "Newsgroups20Clustering"]
STUDENTS = ("student a1", "student b2")
WORDS = ["old", "new", "smart", "intelligent", "hard", "difficult", "happy", "cheerful", "fast", "rapid", "car", "god"]


def suite_of(tasks: Sequence[Any]) -> list[SuiteTask]:
    return load_suite(benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=None, seed=42)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write real result files: two variants with one name, a baseline that lacks a task, and an unusual seed."""
    results = tmp_path_factory.mktemp("scored")
    fields: list[tuple[int, list[str], int, dict[str, Any]]] = [
        (0, TASKS, 42, {"name": "m2v_bench/student", "revision": "a1", "variant": {"dialect": "m2v-0.7", "dims": 8}}),
        (1, TASKS, 42, {"name": "m2v_bench/student", "revision": "b2", "variant": {"dialect": "m2v-0.1", "dims": 4}}),
        (2, TASKS[:2], 42, {"name": "org/baseline", "revision": "c3"}),
        (3, TASKS[:1], 7, {"name": "org/baseline", "revision": "c3"}),
    ]
    for seed, tasks, drawn, more in fields:
        model = as_model(tiny_static_model(WORDS, seed=seed), "x", **more)
        encoders = {"x": MtebEncoder(model, seed=drawn)}
        evaluate(encoders, [model], suite_of(tasks), Session(Store(results), seed=drawn, batch_size=32, debug=True))
    return results


def grid(results: Path, tasks: Sequence[Any] = tuple(TASKS), *, aggregation: str = "micro", **fields: Any) -> Any:
    return results_grid(results, suite_of(tasks), suite_name="mine", aggregation=aggregation, **fields)


def cells(grid: Any) -> dict[str, dict[str, str]]:
    return {row[0]: dict(zip(grid.columns, row, strict=True)) for row in grid.rows}


def score(results: Path, label: str, task: str) -> float:
    (model,) = [each for each in read_results(results).models if each.label == label]
    return float(np.mean(list(model.tasks[task].parts.values())))


def test_what_is_not_separable_from_the_best_has_a_dagger(scored: Path):
    shown = grid(scored, ["SimLex999WordSim"])
    marked = {row[0] for row in shown.rows if row[1].endswith("†")}
    best = max(cells(shown), key=lambda label: score(scored, label, "SimLex999WordSim"))
    assert best in marked  # random rows: no model is better than another by more than chance
    assert len(marked) > 1
    assert any(note.startswith("† Not significantly different from the best static model") for note in shown.notes)
    plain = grid(scored, ["SimLex999WordSim"], marks=False)
    assert [[text.removesuffix("†") for text in row] for row in shown.rows] == plain.rows


@pytest.mark.parametrize("aggregation", ["micro", "macro"])
@pytest.mark.parametrize("shape", ["run", "sweep"])
def test_every_table_of_the_same_scores_has_the_same_marks(scored: Path, tmp_path: Path, aggregation: str, shape: str):
    models = [each for each in read_results(scored).models if each.variant.get("seed", 42) == 42]
    rows = [
        {"model": each.name, "revision": each.revision, "label": each.label, "kind": each.kind, "state": "scored"}
        | {"task": task, "type": "Clustering" if "Clustering" in task else "WordSim", "seconds": 0.1}
        | {"main_score": score(scored, each.label, task) if task in each.tasks else None}
        for each in models
        for task in TASKS
    ]
    settings = {"seed": 42, "suite.name": "mine", "suite.aggregation": aggregation}
    record = {"label": "student a1", "teacher": None, "signature": "s", "variant": {}, "settings": settings}
    if shape == "run":
        made = report_run(RunRecord.from_json({**record, "scores": rows}), tmp_path, scored)
        assert (tmp_path / "table.md").read_text() == made.markdown()
    else:
        jobs = [{**record, "label": each, "scores": [r for r in rows if r["label"] == each]} for each in STUDENTS]
        jobs[0]["scores"] += [row for row in rows if row["label"] not in STUDENTS]
        summary = summarise([RunRecord.from_json(job) for job in jobs])
        made = with_daggers(summary, daggers_of(summary, scored), title="")
    shown = grid(scored, aggregation=aggregation, models=[each.label for each in models])
    here, there = cells(made), cells(shown)
    columns = ("Avg", "Clust", "WordSim")
    assert {label: [row[c] for c in columns] for label, row in here.items()} == {
        label: [row[c] for c in columns] for label, row in there.items()
    }
    assert "†" in str(made.rows)
    assert {(made.rows[row][0], made.columns[column]) for row, column in made.bold} == {
        (shown.rows[row][0], shown.columns[column]) for row, column in shown.bold
    }


def test_without_samples_nothing_is_marked_and_that_is_said(scored: Path, tmp_path: Path):
    shutil.copytree(scored / "results", tmp_path / "results")
    shown = grid(tmp_path)
    assert "†" not in str(shown.rows)
    assert "Not tested for significance, as per-sample outputs are missing: Avg, Clust, WordSim" in shown.notes


def test_models_are_told_apart_by_what_differs(scored: Path):
    assert sorted(model.label for model in read_results(scored).models) == [
        "baseline c3",
        "baseline c3 seed=7",
        "student a1",
        "student b2",
    ]


def test_averages_are_those_of_the_files(scored: Path):
    values = [100 * score(scored, "student a1", task) for task in TASKS]
    micro = cells(grid(scored, marks=False))["student a1"]
    assert list(micro) == ["Model", "Avg", "Clust", "WordSim", "Borda", "% of teacher"]
    assert micro["Avg"] == f"{sum(values) / 3:.2f} (3/3)"
    assert micro["WordSim"] == f"{sum(values[:2]) / 2:.2f} (2/2)"
    macro = cells(grid(scored, aggregation="macro", marks=False))["student a1"]
    assert macro["Avg"] == f"{(sum(values[:2]) / 2 + values[2]) / 2:.2f} (3/3)"


def test_what_is_missing_is_counted_and_named(scored: Path):
    shown = grid(scored, [*TASKS, "STS12"])
    assert cells(shown)["baseline c3"]["Clust"] == "- (0/1)"
    assert cells(shown)["baseline c3"]["Avg"].endswith("(2/4)")
    assert cells(shown)["student a1"]["STS"] == "- (0/1)"
    only = grid(scored, ["Newsgroups20Clustering"])
    assert set(cells(only)) == {"student a1", "student b2"}
    assert "no score of this suite: baseline c3, baseline c3 seed=7" in only.notes


def test_the_signature_says_what_the_numbers_are(scored: Path):
    signature = grid(scored, aggregation="macro").notes[-1]
    for part in (
        "suite mine (3 tasks)",
        "(macro)",
        "dialect m2v-0.1 and m2v-0.7",
        "seed 42 and 7",
        "mteb 2.",
        "torch ",
    ):
        assert part in signature


def test_a_teacher_stands_at_a_hundred_percent(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    for path in results.rglob("model_meta.json"):
        meta = json.loads(path.read_text())
        if meta["revision"] == "a1":
            meta["experiment_kwargs"]["base_model"] = "baseline"
        path.write_text(json.dumps(meta))
    shown = cells(grid(results, TASKS[:2], models=["student a1", "baseline c3"]))
    assert shown["baseline c3"]["% of teacher"] == "100.0"
    both = [[score(results, label, task) for task in TASKS[:2]] for label in ("student a1", "baseline c3")]
    assert shown["student a1"]["% of teacher"] == f"{100 * sum(both[0]) / sum(both[1]):.1f}"


def as_student(results: Path, revision: str, base_model: str) -> None:
    for path in results.rglob("model_meta.json"):
        meta = json.loads(path.read_text())
        if meta["revision"] == revision:
            meta["experiment_kwargs"]["base_model"] = base_model
        path.write_text(json.dumps(meta))


def test_a_teacher_is_one_of_the_same_seed_and_every_row_is_measured_against_the_only_one(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    as_student(results, "a1", "baseline")
    shown = cells(grid(results, TASKS[:1]))
    of = {label: score(results, label, TASKS[0]) for label in shown}
    for label in ("student a1", "student b2", "baseline c3"):
        assert shown[label]["% of teacher"] == f"{100 * of[label] / of['baseline c3']:.1f}"
    assert shown["baseline c3 seed=7"]["% of teacher"] == "-"
    shutil.move(results / "results" / "m2v_bench__student" / "b2", tmp_path / "other_student")
    extra = next((results / "results" / "org__baseline").glob("c3"))
    another = shutil.copytree(extra, extra.parent / "d4")
    shutil.rmtree(another / "experiments", ignore_errors=True)
    meta = json.loads((extra / "model_meta.json").read_text())
    (another / "model_meta.json").write_text(json.dumps({**meta, "revision": "d4"}))
    assert cells(grid(results, TASKS[:1]))["student"]["% of teacher"] == "-"  # of two, nobody knows which


def test_a_lexical_model_keeps_its_kind():
    model = as_model(tiny_static_model(WORDS, seed=0), "x", name="org/words", revision="w")
    kinds: list[Literal["static", "transformer", "lexical"]] = ["static", "transformer", "lexical"]
    metas = [model_meta(replace(model, kind=kind), seed=42) for kind in kinds]
    assert [kind_of(json.loads(meta.model_dump_json(exclude={"loader"}))) for meta in metas] == kinds


def test_a_folder_without_model_meta_and_a_torn_record_do_not_stop_it(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    for path in results.rglob("model_meta.json"):
        path.unlink()
    (results / "runs" / "now").mkdir(parents=True)
    torn = results / "runs" / "now" / "record.json"
    torn.write_text("{")
    shown = grid(results)
    assert len(shown.rows) == 4
    assert "†" in str(shown.rows)
    assert f"cannot be read, its labels, kinds and types are not known: {torn}" in shown.notes


def test_labels_and_kinds_are_those_of_the_runs(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    row = {"model": "m2v_bench/student", "revision": "a1", "label": "M2V mine", "task": TASKS[0], "type": "WordSim"}
    write_json(results / "runs" / "now" / "record.json", {"scores": [{**row, "kind": "lexical"}]})
    assert {"M2V mine", "student"} <= set(cells(grid(results)))
    assert {model.label: model.kind for model in read_results(results).models}["M2V mine"] == "lexical"


def test_why_nothing_counts_is_said(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    for path in results.rglob("Newsgroups20Clustering.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "dataset_revision": "other"}))
    with pytest.raises(BenchError, match=r"(?s)no model has a score .*revision.*Newsgroups20.* \(other, .*student a1"):
        grid(results, ["Newsgroups20Clustering"])


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (
            {"dataset_revision": "other"},
            "scored on another dataset revision, counted as missing: "
            r"Newsgroups20Clustering \(other, the suite has \w+\)",
        ),
        (
            {"scores": {"train": []}},
            "not scored on all splits and subsets, counted as missing: Newsgroups20Clustering .without test/default.",
        ),
        (
            {"scores": {"test": [{"hf_subset": "default", "languages": ["eng-Latn"], "main_score": float("nan")}]}},
            "scored, and the score is not a number, counted as missing: Newsgroups20Clustering .nan.",
        ),
    ],
)
def test_a_score_of_other_data_does_not_count(scored: Path, tmp_path: Path, change: dict[str, Any], note: str):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    (path,) = (results / "results" / "m2v_bench__student" / "a1").rglob("Newsgroups20Clustering.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    shown = grid(results)
    assert cells(shown)["student a1"]["Avg"].endswith("(2/3)")
    (line,) = [line for line in shown.notes if "counted as missing" in line]
    assert re.fullmatch(f"{note} of student a1", line)


def test_a_torn_file_is_missing_and_named(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    (path,) = (results / "results" / "m2v_bench__student" / "a1").rglob("SimLex999WordSim.json")
    path.write_text(path.read_text()[:100])
    shown = grid(results)
    assert cells(shown)["student a1"]["Avg"].endswith("(2/3)")
    assert f"cannot be read, counted as missing: {path}" in shown.notes


def test_paper_columns_when_a_suite_has_all_of_mtebs_types_and_word_similarity():
    from m2v_bench.reports.score_table import score_table, to_grid
    from m2v_bench.stats.aggregates import TYPE_LABELS
    from tests.reports.test_score_table import frame

    rows = [("a", "static", f"T{name}", name, 0.5) for name in TYPE_LABELS]
    rows[-1] = ("a", "static", "TWordSim", "WordSim", 0.1)
    shown = to_grid(score_table(frame(rows)), signature="s")
    assert list(shown.columns)[:3] == ["Model", "Avg (All)", "Avg (MTEB)"]
    assert list(shown.columns)[3:-1] == list(TYPE_LABELS.values())
    assert shown.rows[0][1:3] == [f"{100 * (8 * 0.5 + 0.1) / 9:.2f} (9/9)", "50.00 (7/7)"]


PAPER = Path(__file__).parents[2] / "results" / "paper"


@pytest.mark.parametrize("name", sorted(path.stem for path in PAPER.glob("*.parquet")))
def test_what_is_kept_reads_back_as_it_is_published(name: str, capsys: pytest.CaptureFixture[str]):
    """Without the data, the row of every model keeps its averages, and a note says what is missing."""
    kept = (PAPER / "tables" / f"{name}.md").read_text().split("\n\n")
    header, _, *rows = [line.strip("| ").split(" | ") for line in kept[0].splitlines()]
    suite = re.search(r"suite (\w+) \((\d+) tasks", kept[-1])
    assert suite is not None
    words = [word for row in rows for word in ("--models", row[0])]
    main(["table", f"suite={suite[1]}", "--results", str(PAPER / f"{name}.parquet"), "--format", "markdown", *words])
    table, *notes = capsys.readouterr().out.strip().split("\n\n")
    columns, _, *shown = [line.strip("| ").split(" | ") for line in table.splitlines()]
    plain = {row[0]: dict(zip(columns, (re.sub(r"[*†]", "", each) for each in row), strict=True)) for row in shown}
    for row in rows:
        for column, text in zip(header, row, strict=True):
            if column != "% of teacher" or plain[row[0]][column] != "-":  # of several base models
                assert plain[row[0]][column] == re.sub(r"[*†]", "", text), (row[0], column)
    unscored = [note for note in notes if "of any model" in note]
    assert re.fullmatch(rf"\d+ of {suite[2]} tasks have no score of any model: .*", "\n".join(unscored))
    assert not [note for note in notes if "counted as missing" in note]


def test_of_data_that_is_not_here_the_revision_of_most_scores_counts(scored: Path, tmp_path: Path):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    suite = load_suite(benchmark=None, tasks=["WordSim-MEN"], languages=["eng"], splits=["test"], hub_dir=None, seed=42)
    for place, revision in (
        ("m2v_bench__student/a1", "r1"),
        ("m2v_bench__student/b2", "r1"),
        ("org__baseline/c3", "r2"),
    ):
        source = next((results / "results" / place).rglob("SimLex999WordSim.json"))
        changed = {**json.loads(source.read_text()), "task_name": "WordSim-MEN", "dataset_revision": revision}
        source.with_name("WordSim-MEN.json").write_text(json.dumps(changed))
    shown = results_grid(results, suite, suite_name="mine", aggregation="micro", marks=False)
    assert set(cells(shown)) == {"student a1", "student b2"}
    (line,) = [note for note in shown.notes if "counted as missing" in note]
    where = "WordSim-MEN (r2, most scores have r1) of baseline c3"
    assert line.startswith(f"scored on another dataset revision, counted as missing: {where}")
    assert any(note.startswith("1 tasks, whose data is not here, count on") for note in shown.notes)


@pytest.mark.parametrize("models", [["student a1"], ["student b2"], ["student*"]])
def test_what_is_kept_of_a_teacher_that_is_not_shown(scored: Path, tmp_path: Path, models: list[str]):
    results = Path(shutil.copytree(scored, tmp_path / "copy"))
    as_student(results, "a1", "baseline")
    as_student(results, "b2", "baseline")
    every = cells(grid(results, marks=False))
    shown = cells(grid(results, models=models, marks=False))
    assert all(row["% of teacher"] == every[label]["% of teacher"] != "-" for label, row in shown.items())
    assert "baseline c3" not in shown


def test_chosen_models_and_a_name_that_is_none(scored: Path):
    assert set(cells(grid(scored, models=["m2v_bench/*"]))) == {"student a1", "student b2"}
    with pytest.raises(BenchError, match=r"--models studnt: no such model has results\. Did you mean student"):
        grid(scored, models=["studnt"])


@pytest.mark.parametrize("style", [*FORMATS, "markdown"])
def test_the_verb_in_every_format(scored: Path, style: str, capsys: pytest.CaptureFixture[str]):
    main(["table", "--results", str(scored), "suite=custom", f"suite.tasks=[{','.join(TASKS)}]", "--format", style])
    shown = capsys.readouterr().out
    assert "student" in shown
    if style == "csv":
        rows = pd.read_csv(io.StringIO(shown)).set_index("Model")
        assert set(rows.index) == set(cells(grid(scored)))
        assert rows.loc["student a1", "Avg"] == pytest.approx(
            np.mean([100 * score(scored, "student a1", task) for task in TASKS]), abs=0.005
        )
        assert rows.loc[["student a1", "baseline c3"], "Avg_n"].tolist() == [3, 2]
        assert rows.drop(columns=[name for name in rows if name.endswith("_mark")]).dtypes.map(is_numeric_dtype).all()
    else:
        assert "suite custom (3 tasks)" in shown


def test_the_suites_own_aggregation_is_the_default(scored: Path, capsys: pytest.CaptureFixture[str]):
    words = ["table", "--results", str(scored), "suite=custom", "suite.tasks=[SimLex999WordSim]"]
    main([*words, "suite.aggregation=macro"])
    assert "(macro)" in capsys.readouterr().out
    main([*words, "suite.aggregation=macro", "--aggregation", "micro"])
    assert "(micro)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["suite=startr"], "suite=startr: no such choice. Did you mean starter"),
        (["suite=mteb_eng_v2"], "no model has a score of suite mteb_eng_v2"),
        (["suite.task=[STS12]"], "suite.task: no such setting. Did you mean suite.tasks"),
    ],
)
def test_bad_input_is_one_message(scored: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="1"):
        main(["table", "--results", str(scored), *words])
    assert message in capsys.readouterr().err


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="1"):
        main(["table", "--results", str(tmp_path / "nowhere")])
    assert f"{tmp_path / 'nowhere'}: holds no result files" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
