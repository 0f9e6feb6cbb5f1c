"""Test that a results folder and the file exported from it give the same tables."""

import json
import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import mteb
import numpy as np
import pandas as pd
import pytest

from m2v_bench.cache import write_json
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.results.experiment import SPEED, experiments, find_experiment
from m2v_bench.results.export import export
from m2v_bench.results.long_table import COLUMNS, read_table, write_table
from m2v_bench.results.record import RunRecord, Score, Speed, write_record
from m2v_bench.results.scores import read_results
from m2v_bench.tasks.samples import Samples, write_samples

TASKS = {"STSBenchmark": "STS", "STS12": "STS", "SciFact": "Retrieval"}
TEACHER = ("sentence-transformers/all-MiniLM-L6-v2", "t1", "all-MiniLM-L6-v2")
HARDWARE = {"processor": "p", "cores": 2, "system": "Linux"}


def write_scores(results: Path, name: str, revision: str, *, variant: dict[str, Any] | None = None) -> dict[str, float]:
    """Write result files as mteb does, and their costs; return the scores by task."""
    place = Path(name.replace("/", "__"), revision, *(["experiments", "_".join(map(str, variant))] if variant else []))
    rng = np.random.default_rng(len(str(place)))
    scores = {}
    for task in TASKS:
        scores[task] = round(float(rng.random()), 6)
        result = {
            "task_name": task,
            "dataset_revision": mteb.get_task(task).metadata.revision,
            "mteb_version": "2.26.24",
            "evaluation_time": 0.25,
            "scores": {"test": [{"hf_subset": "default", "languages": ["eng-Latn"], "main_score": scores[task]}]},
        }
        write_json(results / "results" / place / f"{task}.json", result)
        write_json(results / "costs" / place / f"{task}.json", {"seconds": 0.25, "texts_asked": 9, "texts_encoded": 8})
    kind = {} if name == TEACHER[0] else {"framework": ["NumPy"]}
    meta = {"name": name, "revision": revision, "experiment_kwargs": variant, **kind}
    write_json(results / "results" / place / "model_meta.json", meta)
    settings = results / "results" / place / "run_settings.jsonl"
    settings.write_text('{"task": "SciFact", "version": {"torch": "2.13.0"}}\n{"version": {"torch": "2.11.0"}}\n{"vers')
    return scores


def rows(name: str, revision: str, label: str, kind: str, scores: dict[str, float]) -> list[Score]:
    known = [Score(name, revision, label, kind, task, TASKS[task], score, "read") for task, score in scores.items()]
    return [*known, Score(name, revision, label, kind, "STS13", "STS", None, "missing", "no data: x")]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a factorial sweep of four jobs, timed together, and a failed run of another model."""
    results = tmp_path_factory.mktemp("home") / "results"
    teacher = rows(*TEACHER, "transformer", write_scores(results, *TEACHER[:2]))
    plan: dict[str, Any] = {"name": "grid", "command": "python -m m2v_bench x=https://me:secret@host", "jobs": []}
    speeds = []
    for number, (dims, weighting) in enumerate(product((16, None), ("sif", "none"))):
        label = f"M2V {dims or 'no PCA'} {weighting}"
        variant = {"base_model": TEACHER[2], "dialect": "m2v-0.7", "pca_dims": dims, "weighting": weighting, "seed": 7}
        name, revision = f"m2v_bench/a-{number}", f"r{number}"
        own = rows(name, revision, label, "static", write_scores(results, name, revision, variant=variant))
        common = {"model": name, "revision": revision, "hardware": HARDWARE, "session": "s", "texts": 9}
        speeds.append(Speed(label, 100.0 + number, n_parameters=10, bytes_on_disk=20, **common))
        record = RunRecord(
            [*own, *(replace(row, state="read") for row in teacher)],
            key=f"k{number}",
            name=name,
            revision=revision,
            label=label,
            variant={key: value for key, value in variant.items() if key != "seed"},
            settings={
                **{"seed": 7, "suite.name": "custom", "suite.aggregation": "micro", "results_dir": "results"},
                **{"pca_dims": dims, "weighting": weighting, "tracking.uri": "https://me:secret@host"},
            },
            seconds={"distil": 1.0 + number},
            versions={"mteb": "2.26.24"},
            signature="suite custom; seed 7",
            teacher=TEACHER[2],
            started=10.0,
            ended=12.0 + number,
        )
        write_record(results / "sweeps" / "grid" / f"job{number}", record)
        write_json(
            results / "sweeps" / "grid" / f"job{number}" / "environment.json", {"platform": "Linux", "processors": 2}
        )
        plan["jobs"].append(f"job{number}")
    write_json(results / "sweeps" / "grid" / "sweep.json", plan)
    write_json(results / "sweeps" / "grid" / SPEED, [speed.to_json() for speed in speeds])
    other = rows("org/other", "o1", "Other", "static", write_scores(results, "org/other", "o1"))
    failed = replace(other[-1], state="failed", reason="no memory")
    alone = RunRecord([*other[:-1], failed], name="org/other", revision="o1", label="Other", signature="s")
    write_record(results / "runs" / "alone", replace(alone, settings={"seed": 42, "suite.name": "custom"}))
    # the seed that the sweep drew with is 7: the teacher has scores of both
    write_scores(results, *TEACHER[:2], variant={"seed": 7})
    return results


@pytest.fixture(scope="module")
def table(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(results, tmp_path_factory.mktemp("exported") / "all.parquet").path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    main(list(words))
    return capsys.readouterr().out


COMMANDS = [
    ["table", "suite=custom", f"suite.tasks=[{','.join(TASKS)}]", "--format", "markdown"],
    ["table", "suite=custom", "suite.tasks=[STSBenchmark]", "--models", "M2V*", "--format", "csv"],
    ["compare", "M2V 16 sif", "Other", "--format", "markdown"],
    ["paper", "ablations", "grid", "--format", "markdown"],
    ["paper", "verify", "alone", "--format", "markdown"],
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: "-".join(words[:2]))
def test_a_command_says_the_same_of_the_file(
    words: list[str], results: Path, table: Path, capsys: pytest.CaptureFixture[str]
):
    told = []
    for place in (results, table):
        try:
            main([*words, "--results", str(place)])
            code = 0
        except SystemExit as end:
            code = int(str(end.code))
        out, err = capsys.readouterr()
        told.append((code, out, err.replace(str(place), "PLACE")))
    assert told[0] == told[1]
    assert told[0][1]


def test_the_report_of_the_file_is_that_of_the_folder(
    results: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    pages = []
    for place in (results, table):
        out = tmp_path / "page.html"
        shown(capsys, "report", "grid", "--results", str(place), "--out", str(out))
        # but for the command at its end
        pages.append(out.with_suffix(".md").read_text().replace(str(place), "PLACE"))
    assert "secret" not in pages[0]
    assert "| all-MiniLM-L6-v2 | 3/4 | 0.8 | - | 27 | 24 |" in pages[0]  # the costs
    assert "timed together" in pages[0]
    assert pages[0] == pages[1]
    assert shown(capsys, "report", "grid", "--results", str(table)).startswith(
        f"wrote {table.parent}/reports/grid.html"
    )


def test_models_and_scores_are_read_back(results: Path, table: Path):
    folder, file = read_results(results), read_results(table)
    assert [model.id for model in folder.models] == [model.id for model in file.models]
    for one, other in zip(folder.models, file.models, strict=True):
        unread = {"torch_versions": {}, "read": None, "read_cost": None}
        assert replace(one, **unread) == replace(other, **unread)
        assert one.tasks == other.tasks
        assert one.versions == other.versions
        assert [one.read_cost(task) for task in TASKS] == [other.read_cost(task) for task in TASKS]
    assert file.task_types(TASKS) == TASKS
    assert [model.label for model in file.models if model.name == TEACHER[0]] == [
        "all-MiniLM-L6-v2 t1",
        "all-MiniLM-L6-v2 t1 seed=7",
    ]


def test_records_are_read_back_without_passwords(results: Path, table: Path):
    there, back = ({each.name: each for each in experiments(place)} for place in (results, table))
    assert list(back) == ["grid", "alone"]
    assert back["alone"].records == there["alone"].records
    assert [job.state for job in back["alone"].jobs] == ["1 of 4 scores failed"]
    assert back["grid"].command == "python -m m2v_bench x=https://me:***@host"
    for record, known in zip(back["grid"].records, there["grid"].records, strict=True):
        assert replace(record, settings={}) == replace(known, settings={})
        assert record.settings == {**known.settings, "tracking.uri": "https://me:***@host"}
    assert back["grid"].changed == ["pca_dims", "weighting"]
    assert b"secret" not in table.read_bytes()


def test_the_table_is_one_of_pandas(results: Path, table: Path):
    frame = pd.read_parquet(table)
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert len(frame) == len(TASKS) * 7
    sweep = frame[frame["label"].str.startswith("M2V")]
    assert sweep.groupby("variant.weighting")["main_score"].count().to_dict() == {"none": 6, "sif": 6}
    assert set(sweep["variant.pca_dims"].dropna()) == {16}
    assert json.loads(sweep["variant"].iloc[0])["pca_dims"] == 16


def test_scores_with_samples_get_standard_errors(results: Path, tmp_path: Path):
    there = Path(shutil.copytree(results, tmp_path / "results"))
    rng = np.random.default_rng(0)
    for model in read_results(there).models:
        if model.name.startswith("m2v_bench/"):
            values = rng.normal(0, 0.1, 100)
            values += model.scored_tasks()["SciFact"].known["test/default"] - values.mean()
            samples = {"test/default": Samples("mean", values, None, "q")}
            write_samples(there / "samples" / model.folder / "SciFact.npz", samples)
    # the score of a record that averages over fewer parts than the result file has
    job = there / "sweeps" / "grid" / "job0" / "record.json"
    changed = json.loads(job.read_text())
    (row,) = (row for row in changed["scores"] if (row["label"], row["task"]) == (changed["label"], "SciFact"))
    row["main_score"] += 0.1
    job.write_text(json.dumps(changed))
    records = find_experiment("grid", export(there, tmp_path / "grid.parquet", "grid").path).records
    errors = {(row.label, row.task): row.standard_error for record in records for row in record.scores}
    known = {key for key, error in errors.items() if error is not None}
    assert known == {(record.label, "SciFact") for record in records[1:]}
    assert {round(errors[key] or 0, 3) for key in known} <= {0.009, 0.01, 0.011}
    again = find_experiment("grid", export(tmp_path / "grid.parquet", tmp_path / "again.parquet", "grid").path).records
    assert again == records


def test_one_experiment_alone_is_exported(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    told = shown(capsys, "export", "grid", "--results", str(results), "--out", str(tmp_path / "grid.parquet"))
    assert told == f"wrote {tmp_path / 'grid.parquet'}: 15 scores of 5 models, and the records of 1 experiment\n"
    alone = read_results(tmp_path / "grid.parquet")
    # only the teacher's scores of the sweep's seed, so that its label needs no seed
    assert [model.label for model in alone.models if model.kind == "transformer"] == ["all-MiniLM-L6-v2"]
    assert [each.name for each in experiments(tmp_path / "grid.parquet")] == ["grid"]
    again = export(tmp_path / "grid.parquet", tmp_path / "again.parquet", "grid")
    assert again.path.read_bytes() == (tmp_path / "grid.parquet").read_bytes()


def test_a_damaged_result_file_is_left_out_and_named(results: Path, tmp_path: Path):
    copy = Path(shutil.copytree(results, tmp_path / "copy"))
    file = copy / "results" / "org__other" / "o1" / "STS12.json"
    file.write_text("{")
    (copy / "runs" / "alone" / "record.json").write_text("{")
    written = export(copy)
    assert written.path == copy / "results.parquet"
    assert written.n_rows == len(TASKS) * 7 - 1
    assert f"left out, cannot be read: {file}" in written.notes
    assert any("record.json" in note for note in written.notes)


@pytest.fixture
def home(results: Path, table: Path) -> Path:
    """Create a folder with results, their exported file, a file that is no table, and another table."""
    home = results.parent
    (home / "file").write_text("x")
    for name in ("all", "grid"):
        (home / f"{name}.parquet").write_bytes(table.read_bytes())
    pd.DataFrame({"a": [1]}).to_parquet(home / "other.parquet")
    return home


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["export", "grit"], "grit: no such sweep or run. Did you mean grid?"),
        (["export", "--results", "nowhere"], "results nowhere: holds no result files"),
        (["export", "--out", "file/x.parquet"], "--out file/x.parquet: cannot be written"),
        (["export", "--out", "x.csv"], "--out x.csv: must end in .parquet"),
        (["export", "grid", "--results", "grid.parquet"], "--results grid.parquet: is the file to write; name another"),
        (
            ["report", "grit", "--results", "all.parquet"],
            "grit: no such sweep or run in all.parquet. Did you mean grid?",
        ),
        (["paper", "verify", "grid", "--results", "all.parquet"], "grid: a sweep of 4 jobs"),
        (
            ["table", "--results", "file"],
            "results file: is neither a results folder nor a file of",
        ),
        (["table", "--results", "other.parquet"], "other.parquet: is neither a results folder nor a file"),
    ],
)
def test_bad_input_is_one_message(
    words: list[str], message: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(home)
    with pytest.raises(SystemExit, match="1"):
        main(words)
    assert message in capsys.readouterr().err


def test_a_file_of_a_later_version_is_refused(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from m2v_bench.results import long_table

    rows = read_table(table).rows
    monkeypatch.setattr(long_table, "_FORMAT", 2)
    write_table(tmp_path / "later.parquet", rows, [])
    monkeypatch.undo()
    with pytest.raises(BenchError, match="has version 2 of the format; this m2v_bench reads 1"):
        read_table(tmp_path / "later.parquet")


def test_a_name_that_both_have_is_found_in_the_file(table: Path):
    assert find_experiment("alone", table).kind == "run"
