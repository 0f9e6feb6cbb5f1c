import csv
import io
from pathlib import Path

import numpy as np
import pytest

from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.reports.grid import FORMATS
from m2v_bench.results.scores import read_results
from m2v_bench.stats.aggregates import cqadupstack
from tests.reports.results_folder import N_SAMPLES, TASKS, Folder


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Add three models: b is better than a on two tasks and equal on one; c equals a."""
    folder = Folder(tmp_path / "results")
    rng = np.random.default_rng(0)
    for task in TASKS:
        hard = rng.random(N_SAMPLES)
        gain = 0.0 if task == "SciFact" else 0.2
        folder.add("org/model-a", task, hard < 0.6 + 0.05 * rng.normal(size=N_SAMPLES))
        folder.add("org/model-b", task, hard < 0.6 + gain + 0.05 * rng.normal(size=N_SAMPLES))
        folder.add("other/model-c", task, hard < 0.6 + 0.05 * rng.normal(size=N_SAMPLES))
    folder.record("org/model-a", "M2V a 256d")
    return folder


def rows_of(grid) -> dict[str, list[str]]:
    return {row[0]: list(row) for row in csv.reader(io.StringIO(grid.csv()))}


def test_two_models_task_by_task(folder: Folder):
    grid = folder.grid("org/model-b", "org/model-a")
    rows = rows_of(grid)
    header = rows["Task"]
    assert header[:4] == ["Task", "model-b", "M2V a 256d", "Difference"]
    assert list(rows)[1:4] == list(TASKS)  # in the order of the paper's columns
    assert [rows[task][-1] for task in TASKS] == ["win", "tie", "win"]
    for task in TASKS:
        value, low, high = (float(text) for text in rows[task][3:6])
        assert low < value < high
        assert value == pytest.approx(float(rows[task][1]) - float(rows[task][2]), abs=0.011)
    assert rows["average over tasks: these tasks"][-1] == "win"
    assert "average over types: tasks like these" in rows
    assert grid.notes[0] == "model-b: 2 win, 1 tie, 0 loss, 0 untested of 3 tasks (tie: p (Holm) not below 0.05)"
    assert grid.notes[-1].startswith("tasks 3/3; dialect none; seed 42; 200 replicates, bootstrap seed 42; m2v_bench ")
    assert grid.notes[-1].endswith(", scored by mteb 2.26.24; Holm over 3 tasks")


def test_the_same_seed_gives_the_same_table(folder: Folder):
    words = ("model-a", "model-b")
    assert folder.grid(*words) == folder.grid(*words)
    assert folder.grid(*words).rows != folder.grid(*words, seed=1).rows


def test_several_models_have_letters(folder: Folder):
    rows = [row for row in folder.grid("model-a", "model-b", "model-c").rows if row[1] == "tasks"]
    assert rows[0][0] == "model-b"
    assert [row[-2] for row in rows] == ["a", "b", "b"]
    assert {row[-1] for row in rows} == {"-"}  # three tasks are too few


def test_tasks_can_be_selected(folder: Folder):
    grid = folder.grid("model-a", "model-b", tasks=["SciFact"])
    assert [row[0] for row in grid.rows[:1]] == ["SciFact"]
    assert "tasks 1/1" in grid.notes[-1]
    with pytest.raises(BenchError, match=r"--tasks SciFakt: none of the models .* Did you mean SciFact\?"):
        folder.grid("model-a", "model-b", tasks=["SciFakt"])


def test_a_task_missing_for_one_model_is_skipped_and_counted(folder: Folder):
    folder.add("org/model-a", "STSBenchmark", np.ones(9))
    assert "tasks 3/4" in folder.grid("model-a", "model-b").notes[-1]


def test_cqadupstack_counts_once_whether_scored_as_a_whole_or_by_its_forums(folder: Folder):
    ((whole, forums),) = cqadupstack().items()
    rng = np.random.default_rng(1)
    values = {
        name: [rng.random(N_SAMPLES) + gain for forum in forums] for name, gain in (("model-a", 0.0), ("model-b", 0.3))
    }
    for name, shares in values.items():
        for forum, share in zip(forums, shares, strict=True):
            folder.add(f"org/{name}", forum, share)
    grid = folder.grid("model-b", "model-a")
    assert "tasks 4/4" in grid.notes[-1]
    row = rows_of(grid)[whole]
    assert [float(text) for text in row[1:3]] == pytest.approx(
        [100 * np.mean(values[name]) for name in ("model-b", "model-a")], abs=0.01
    )
    assert row[-1] == "win"  # with the samples of the forums
    place = folder.path / "results" / "org__model-b" / "r1"
    mean = float(np.mean(values["model-b"]))
    folder.add("org/model-b", whole, np.ones(9), score=mean, data="1", samples=False)
    for forum in forums[1:]:
        (place / f"{forum}.json").unlink()
    again = folder.grid("model-b", "model-a")
    assert "tasks 4/4" in again.notes[-1]
    assert rows_of(again)[whole] == row
    named = folder.grid("model-b", "model-a", tasks=[forums[0]])
    assert named.rows[0][0] == forums[0]


def test_a_task_without_samples_counts_and_is_noted(folder: Folder):
    folder.add("org/model-a", "STSBenchmark", np.ones(9))
    folder.add("org/model-b", "STSBenchmark", np.full(9, 0.9), samples=False)
    grid = folder.grid("model-a", "model-b")
    rows = rows_of(grid)
    assert rows["STSBenchmark"][3:] == ["10.00", "", "", "", "", "untested"]
    for question in ("these tasks", "tasks like these"):
        assert rows[f"average over tasks: {question}"][4:] == ["", "", "", "", "withheld"]
    reason = "no per-sample outputs of 1 of 4 tasks"
    assert f"average over tasks and average over types, tasks like these: withheld, {reason}" in grid.notes
    assert any(note.startswith("1 of 4 tasks without samples") for note in grid.notes)
    assert "1 untested of 4 tasks" in grid.notes[0]


@pytest.mark.parametrize("n_more", [0, 2, 3])
def test_few_tasks_give_no_verdict_on_tasks_like_these(folder: Folder, n_more: int):
    rng = np.random.default_rng(3)
    for number, task in enumerate(("STS12", "STS13", "STS14")[:n_more]):
        hard = rng.random(N_SAMPLES)
        for name, share in (("model-a", 0.5), ("model-b", 0.6 + 0.05 * number)):
            folder.add(f"org/{name}", task, hard < share)
    grid = folder.grid("model-b", "model-a")
    row = rows_of(grid)["average over tasks: tasks like these"]
    notes = [note for note in grid.notes if note.startswith("average over tasks, tasks like these: withheld")]
    if n_more == 3:
        assert row[-1] in ("win", "tie")
        assert notes == []
    else:
        assert row[4:] == ["", "", "", "", "withheld"]
        assert notes == [f"average over tasks, tasks like these: withheld, {3 + n_more} tasks, 6 are needed"]
    assert rows_of(grid)["average over tasks: these tasks"][-1] == "win"


def test_samples_of_a_different_score_are_ignored_with_a_note(folder: Folder):
    folder.add("org/model-b", "SciFact", np.ones(N_SAMPLES), score=0.6)
    grid = folder.grid("model-a", "model-b")
    assert rows_of(grid)["SciFact"][-1] == "untested"
    assert "samples of model-b that do not give the main score and are not used: SciFact" in grid.notes


def test_different_samples_are_refused(folder: Folder):
    folder.add("org/model-b", "SciFact", np.ones(N_SAMPLES - 1))
    with pytest.raises(BenchError, match=r"SciFact: M2V a 256d and model-b were not scored on the same samples: .*399"):
        folder.grid("model-a", "model-b")
    folder.grid("model-a", "model-b", tasks=["MENWordSim"])


def test_different_splits_and_data_are_refused(folder: Folder):
    folder.add("org/model-b", "SciFact", np.ones(N_SAMPLES), part="dev/default")
    with pytest.raises(BenchError, match=r"SciFact: the models were not scored on the same splits .*dev/default"):
        folder.grid("model-a", "model-b")
    folder.add("org/model-b", "SciFact", np.ones(N_SAMPLES), data="d2")
    with pytest.raises(BenchError, match=r"SciFact: .* other data \(dataset revisions d1 and d2\)"):
        folder.grid("model-a", "model-b")


def test_a_model_is_found_by_name_label_part_and_run(folder: Folder):
    run = folder.record("org/model-a", "M2V a 256d")
    for word in ("org/model-a", "model-a", "M2V a 256d", "256D", "org/model-a@r1", str(run)):
        assert read_results(folder.path).find(word).name == "org/model-a"


def test_an_ambiguous_or_unknown_name_lists_the_models(folder: Folder):
    with pytest.raises(BenchError, match=r"(?s)model: means 3 models .*org/model-a  \(M2V a 256d\).*other/model-c"):
        folder.grid("model", "model-a")
    with pytest.raises(BenchError, match=r"(?s)org/modle-b: no such model .*Did you mean org/model-b.*other/model-c"):
        folder.grid("org/modle-b", "model-a")
    with pytest.raises(BenchError, match="org/model-a is named twice"):
        folder.grid("model-a", "org/model-a")
    with pytest.raises(BenchError, match="name two models or more"):
        folder.grid("model-a")


def test_revisions_and_variants_are_distinguished(folder: Folder):
    for revision, variant, seed in (("r2", "seed_42", 42), ("r2", "seed_7", 7)):
        for task in TASKS:
            folder.add("org/model-a", task, np.arange(N_SAMPLES) % 2, revision=revision, variant=variant, seed=seed)
    ids = [model.id for model in read_results(folder.path).models]
    assert ids[:3] == ["org/model-a@r1", "org/model-a@r2/seed_42", "org/model-a@r2/seed_7"]
    for identifier in ids:
        assert read_results(folder.path).find(identifier).id == identifier
    with pytest.raises(BenchError, match="means 2 models"):
        read_results(folder.path).find("org/model-a@r2")
    run = folder.record("org/model-a", "seven", revision="r2", seed=7)
    assert read_results(folder.path).find(str(run)).id == "org/model-a@r2/seed_7"
    assert folder.grid("org/model-a@r2/seed_42", "org/model-a@r2/seed_7").rows[0][3] == "+0.00"


def test_a_run_with_scores_in_another_folder_is_refused(folder: Folder, tmp_path: Path):
    run = Folder(tmp_path / "elsewhere").record("org/gone", "gone")
    with pytest.raises(BenchError, match=r"org/gone@r1 with seed 42, are not in .*--results"):
        read_results(folder.path).find(str(run))


def test_damaged_files_are_reported(folder: Folder):
    path = folder.path / "results" / "org__model-b" / "r1" / "SciFact.json"
    path.write_text('{"task_name": "SciFact"}')
    with pytest.raises(BenchError, match=r"SciFact.json: is no result file of mteb \(KeyError: 'scores'\)"):
        folder.grid("model-a", "model-b")
    path.unlink()
    (folder.path / "samples" / "org__model-b" / "r1" / "MENWordSim.npz").write_bytes(b"torn")
    with pytest.raises(BenchError, match=r"MENWordSim.npz: cannot be read .* delete it"):
        folder.grid("model-a", "model-b")


def test_task_types_come_from_the_runs_or_from_mteb(folder: Folder):
    types = read_results(folder.path).task_types(["MENWordSim", "STSBenchmark", "NoSuchTask"])
    assert types == {"MENWordSim": "WordSim", "STSBenchmark": "STS", "NoSuchTask": "Other"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--replicates", "5"], "--replicates 5: must lie between 100 and 1000000"),
        (["--confidence", "95"], "--confidence 95.0: must lie between 0.5 and 1"),
        (["--seed", "-1"], "seed=-1: must lie between"),
        (["--results", "nowhere"], "results nowhere: holds no result files"),
    ],
)
def test_bad_options_are_refused(folder: Folder, words, message, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit, match="1"):
        main(["compare", "model-a", "model-b", "--results", str(folder.path), *words])
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("style", [*FORMATS, "markdown"])
def test_compare_command_prints_every_format(folder: Folder, style, capsys: pytest.CaptureFixture[str]):
    main(["compare", "model-a", "model-b", "--results", str(folder.path), "--format", style, "--replicates", "200"])
    shown = capsys.readouterr().out
    assert "SciFact" in shown
    assert style == "csv" or "seed 42" in shown
