import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from m2v_bench.cache import write_json
from m2v_bench.reports.page_tables import failed_scores, job_costs, missing_scores, model_costs, speed_grid
from m2v_bench.reports.run_report import report_sweep
from m2v_bench.reports.signature import signature
from m2v_bench.reports.summary import summarise
from m2v_bench.reports.sweep_figures import draw, short_labels
from m2v_bench.results.experiment import Experiment, JobResult
from m2v_bench.results.record import RunRecord
from m2v_bench.tasks.samples import Samples, write_samples


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
        "settings": {"pca_dims": 16, "weighting": "sif", "seed": 42, **settings},
        "scores": [row(label, revision, "static", score), row("teacher", "t", "transformer", teacher)],
    }


def typed(jobs: Sequence[dict[str, Any]]) -> list[RunRecord]:
    return [RunRecord.from_json(job) for job in jobs]


def scores(results_dir: Path) -> dict[str, float]:
    rows = pd.read_csv(results_dir / "tables" / "x.csv")
    return dict(zip(rows["label"], rows["main_score"], strict=True))


def test_jobs_that_differ_only_in_the_seed_are_told_apart(tmp_path: Path):
    jobs = [record("a", "r", 0.5, 0.6, seed=1), record("a", "r", 0.7, 0.8, seed=2)]
    report_sweep(typed(jobs), tmp_path, name="x", axis=None)
    assert scores(tmp_path) == {"a seed=1": 0.5, "a seed=2": 0.7, "teacher seed=1": 0.6, "teacher seed=2": 0.8}
    table = (tmp_path / "tables" / "x.md").read_text()
    assert f"{100 * 0.5 / 0.6:.1f}" in table
    assert f"{100 * 0.7 / 0.8:.1f}" in table


def test_models_of_the_same_label_and_another_revision_are_told_apart(tmp_path: Path):
    jobs = [record("a", "r1", 0.5, 0.6, **{"base_model.name": "x/a"}), record("a", "r2", 0.7, 0.6)]
    jobs[1]["settings"]["base_model.name"] = "y/a"
    report_sweep(typed(jobs), tmp_path, name="x", axis=None)
    assert scores(tmp_path) == {"a r1": 0.5, "a r2": 0.7, "teacher": 0.6}


def words(figure: Figure) -> list[str]:
    return [text.get_text().replace("\n", " ") for text in figure.findobj(Text) if text.get_text()]


def test_a_second_swept_setting_is_a_line_of_its_own():
    jobs = [
        record(f"{dims} {name}", f"{dims}{name}", score, 0.9, **{"pca_dims": dims, "weighting": name})
        for name, dims, score in (("none", 16, 0.1), ("none", 32, 0.2), ("sif", 16, 0.3), ("sif", 32, 0.4))
    ]
    figure = draw(summarise(typed(jobs)), "pca_dims")[""]
    drawn = {tuple(line.get_xdata()): [] for line in figure.axes[0].lines}
    for line in figure.axes[0].lines:
        drawn[tuple(line.get_xdata())].append([round(float(y), 6) for y in line.get_ydata()])
    assert drawn[16, 32] == [[10, 20], [30, 40]]
    assert {"weighting=none", "weighting=sif", "teacher"} <= set(words(figure))


def test_many_variants_are_arranged_by_their_settings():
    settings = itertools.product(("x/a", "x/b", "x/c"), (16, 32), ("none", "zipf_log", "sif", "idf"))
    jobs = [
        record(
            f"M {number}",
            f"r{number}",
            0.2 + 0.01 * number,
            0.9,
            **{"base_model.name": base, "pca_dims": dims, "weighting": name},
        )
        for number, (base, dims, name) in enumerate(settings)
    ]
    summary = summarise(typed(jobs))
    errors = {(label, "T"): 0.01 for label in summary.table.labels}
    figure = draw(summary, None, errors)[""]
    drawn = words(figure)
    assert {"a (teacher 90.0)", "b (teacher 90.0)", "none", "zipf_log", "sif", "idf", "weighting"} <= set(drawn)
    assert {"dimensions after PCA: 16", "dimensions after PCA: 32"} <= set(drawn)  # of the legend
    assert any("best: M 23 43.0" in text and "95 % confidence intervals" in text for text in drawn)
    assert figure.get_label().startswith(
        "Average score of every variant, with a row per weighting and a panel per teacher;"
    )
    few = draw(summarise(typed(jobs[:8])), None)
    assert "best one first" in few[""].get_label()
    for job in jobs:
        job["settings"]["dialect"] = job["settings"].pop("base_model.name")
    panels = words(draw(summarise(typed(jobs)), None)[""])
    assert {"dialect: x/a (teacher 90.0)", "dialect: x/b (teacher 90.0)"} <= set(panels)


@pytest.mark.parametrize(
    ("teachers", "n_there", "n_missing", "n_failed"),
    [
        ((0.9, 0.9, 0.9), 4, 0, 0),
        ((None, None, None), 3, 1, 0),
        ((None, 0.9, None), 4, 0, 0),
        (("failed", None, 0.9), 4, 0, 0),
        (("failed", "failed", "failed"), 3, 0, 1),
    ],
)
def test_a_model_of_several_jobs_counts_once(teachers: tuple[Any, ...], n_there: int, n_missing: int, n_failed: int):
    """One task, three students and their common teacher give four scores."""
    jobs = [record(f"M2V {dims}d", f"r{dims}", 0.5, 0.9, **{"pca_dims": dims}) for dims in (16, 32, 64)]
    for job, score in zip(jobs, teachers, strict=True):
        if score is None or score == "failed":
            job["scores"][1] |= {"main_score": None, "state": score or "missing", "reason": "why"}
    summary = summarise(typed(jobs))
    cells = [summary.table.cells[label, "Avg"] for label in summary.table.labels]
    assert (sum(cell.n for cell in cells), sum(cell.n_all for cell in cells)) == (n_there, 4)
    sentences, grid = missing_scores(summary), failed_scores(summary)
    assert [text.partition(".")[0] for text in sentences] == [f"{n_missing}/4 scores are missing"] * bool(n_missing)
    assert (grid.title if grid else "") == (f"{n_failed}/4 scores are failed" if n_failed else "")
    assert summary.table.labels == ["M2V 16d", "M2V 32d", "M2V 64d", "teacher"]


@pytest.mark.parametrize(
    ("known", "shown"),
    [
        (0, "The cost of the jobs is not known: their records hold no times."),
        (1, "distil 2.0 s (1/2 known) (forward passes not known), evaluate 3.0 s (1/2 known), speed not known; "),
        (2, "distil 4.0 s (forward passes not known), evaluate 6.0 s, speed not known; 10.0 s in all"),
    ],
)
def test_costs_that_are_not_known_are_no_zeros(tmp_path: Path, known: int, shown: str):
    jobs = [record(f"M2V {dims}d", f"r{dims}", 0.5, 0.9, **{"pca_dims": dims}) for dims in (16, 32)]
    for job in jobs[:known]:
        job |= {"seconds": {"distil": 2.0, "evaluate": 3.0}, "started": 10.0, "ended": 15.0}
    files = [JobResult(tmp_path / job.label, job, None) for job in typed(jobs)]
    costs = job_costs(Experiment("x", "sweep", tmp_path, files, None))
    text = costs if isinstance(costs, str) else "\n".join([*costs.notes, *map(str, costs.rows)])
    assert shown in text
    assert "0.0" not in text.replace("10.0", "")
    assert model_costs(summarise(typed(jobs)), tmp_path) == (
        f"The cost of scoring is not known: none of the 3 scores has a file in {tmp_path / 'costs'}."
    )


def test_jobs_that_ran_otherwise_stay_one_curve():
    threads = {16: None, 32: 2}
    jobs = [
        record(f"{dims}", f"{dims}", 0.5, 0.9, **{"pca_dims": dims, "launcher.threads": n, "device": f"{n}"})
        for dims, n in threads.items()
    ]
    assert summarise(typed(jobs)).changed == ["pca_dims"]


def test_each_task_type_is_drawn_along_the_axis_over_the_tasks_that_all_have():
    jobs = [
        record(f"M2V {dims}d", f"r{dims}", score, 0.9, **{"pca_dims": dims}) for dims, score in ((16, 0.1), (32, 0.2))
    ]
    assert "-types" not in draw(summarise(typed(jobs)), "pca_dims")  # one type
    for job in jobs:
        others = [{**row, "task": "other", "type": "Clustering"} for row in job["scores"]]
        lacking = [{**row, "task": "lacking", "main_score": None} for row in others if row["label"] == "teacher"]
        job["scores"] = [*job["scores"], *others, *({**row, "task": "lacking"} for row in others[:1]), *lacking]
    figure = draw(summarise(typed(jobs)), "pca_dims")["-types"]
    shown = [axes for axes in figure.axes if axes.axison]
    assert {axes.get_title() for axes in shown} == {"Clust", "STS"}
    for axes in shown:
        curve = next(line for line in axes.lines if tuple(line.get_xdata()) == (16, 32))
        assert [round(float(y), 6) for y in curve.get_ydata()] == [10, 20]


@pytest.mark.parametrize(("second", "ticks"), [("y/b-int8", {"a", "b-int8-derived"}), ("y/a", {"x/a", "y/a"})])
def test_a_base_model_is_called_on_the_axis_what_its_results_are_called(second: str, ticks: set[str]):
    jobs = [record(name, name, 0.5, 0.6, **{"base_model.name": name}) for name in ("x/a", second)]
    jobs[1]["variant"]["base_model"] = jobs[1]["variant"]["base_model"].replace("int8", "int8-derived")
    figure = draw(summarise(typed(jobs)), "base_model.name")[""]
    assert ticks == {label.get_text() for label in figure.axes[0].get_yticklabels()} - {"compared with", "teacher"}


def test_a_sweep_over_several_settings_is_drawn_in_the_order_of_scores():
    jobs = [
        record(f"M2V a {dims}d {name}", f"{dims}{name}", score, 0.35, **{"pca_dims": dims, "weighting": name})
        for name, dims, score in (("none", 16, 0.1), ("none", 32, 0.4), ("sif", 16, 0.3), ("sif", 32, 0.2))
    ]
    figure = draw(summarise(typed(jobs)), None)[""]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["M2V 32d none", "teacher", "M2V 16d sif", "M2V 32d sif", "M2V 16d none"]


def with_speed(
    job: dict[str, Any], machine: str, session: str | None = "s", loaded: bool = False, **rates: float
) -> dict[str, Any]:
    job["speed"] = [
        {
            **{"label": label, "texts_per_second": rate, "slowest": 0.98 * rate, "fastest": 1.02 * rate, "texts": 9},
            **{"n_parameters": 10**6, "bytes_on_disk": 10**6, "mean_characters": 5.0},
            "hardware": {"processor": machine, "cores": 2, "system": "Linux"},
            **({} if session is None else {"session": session, "loaded": loaded}),
        }
        for label, rate in rates.items()
    ]
    return job


def test_speeds_of_one_machine_are_drawn_and_others_are_left_out_and_told():
    jobs = [
        with_speed(record("M2V 16d", "r1", 0.5, 0.9, **{"pca_dims": 16}), "one", **{"M2V 16d": 900, "teacher": 5}),
        with_speed(record("M2V 32d", "r2", 0.4, 0.9, **{"pca_dims": 32}), "one", **{"M2V 32d": 800, "teacher": 6}),
        with_speed(record("M2V 64d", "r3", 0.6, 0.9, **{"pca_dims": 64}), "other", **{"M2V 64d": 9999}),
    ]
    summary = summarise(typed(jobs))
    grid = speed_grid(summary)
    assert grid is not None
    assert [row[0] for row in grid.rows] == ["M2V 16d", "M2V 32d", "teacher"]
    assert [row[-1] for row in grid.rows] == ["no", "yes", "no"]
    assert "1 models were measured in another session or elsewhere" in " ".join(grid.notes)
    texts = words(draw(summary, "pca_dims")["-speed"])
    assert {"M2V 16d", "M2V 32d", "teacher"} <= set(texts)
    assert "M2V 64d" not in texts
    assert any("1 models were measured in another session or elsewhere and are not shown" in text for text in texts)
    assert any("texts of 5 characters on average" in text for text in texts)


@pytest.mark.parametrize(
    ("sessions", "loaded", "shown", "dominated", "told"),
    [
        (("s", "s"), False, 3, ["no", "yes", "no"], "timed together, alternately"),
        (("s", "s"), True, 3, ["no", "yes", "no"], "THE MACHINE WAS LOADED by other processes"),
        (("s", "t"), False, 2, ["no", "no"], "1 models were measured in another session"),
        ((None, "t"), False, 2, ["-", "-"], "each model was timed by itself"),
        ((None, None), False, 3, ["-", "-", "-"], "each model was timed by itself"),
    ],
)
def test_speeds_of_one_session_compare(
    sessions: tuple[str | None, ...], loaded: bool, shown: int, dominated: list[str], told: str
):
    jobs = [
        record("M2V 16d", "r1", 0.5, 0.9, **{"pca_dims": 16}),
        record("M2V 32d", "r2", 0.4, 0.9, **{"pca_dims": 32}),
    ]
    with_speed(jobs[0], "one", sessions[0], loaded, **{"M2V 16d": 900, "teacher": 5})
    with_speed(jobs[1], "one", sessions[1], loaded, **{"M2V 32d": 800})
    summary = summarise(typed(jobs))
    grid = speed_grid(summary)
    assert grid is not None
    assert [row[-1] for row in grid.rows] == dominated
    assert len(grid.rows) == shown
    assert told in " ".join(grid.notes)
    drawn = draw(summary, "pca_dims")["-speed"]
    assert told in " ".join(words(drawn)).replace("  ", " ")
    line = [each for each in drawn.axes[0].lines if each.get_gid() == "domination"]
    assert len(line) == ("-" not in dominated)


def test_a_sweep_leaves_figures_and_takes_away_what_is_no_longer_true(tmp_path: Path):
    jobs = [record(f"M2V {dims}d", f"r{dims}", 0.5, 0.9, **{"pca_dims": dims}) for dims in (16, 32)]
    measured = [with_speed(dict(job), "one", **{job["label"]: 10}) for job in jobs]
    files = report_sweep(typed(measured), tmp_path, name="x", axis=None)
    ends = ("x-speed.png", "x-speed.svg", "x.png", "x.svg")
    assert sorted(path.name for path, kind in files.items() if kind == "figures") == list(ends)
    report_sweep(typed(jobs), tmp_path, name="x", axis=None)
    assert sorted(path.name for path in (tmp_path / "figures").iterdir()) == list(ends[2:])


def test_short_labels_say_what_differs():
    labels = ["M2V all-MiniLM-L6-v2 256d sif", "M2V all-MiniLM-L6-v2 no PCA sif"]
    assert list(short_labels(labels).values()) == ["M2V 256d", "M2V no PCA"]
    assert short_labels(labels[:1]) == {labels[0]: labels[0]}
    assert list(short_labels(["M2V a b", "M2V a"]).values()) == ["M2V a b", "M2V a"]


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
    report_sweep(typed(jobs), tmp_path, name="x", axis=None)
    line = (tmp_path / "tables" / "x.md").read_text().strip().splitlines()[-1]
    assert line == (
        "suite x (1 task); average over tasks (micro); main scores x 100, (n/N tasks); dialect m2v-0.1 and m2v-0.7; "
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
    report_sweep(typed(jobs), tmp_path, name="x", axis=None)
    text = (tmp_path / "tables" / "x.md").read_text()
    assert [line.count("†") for line in text.splitlines()[2:5]] == [2, 2, 0]
    assert "Holm" in text


def test_a_sweep_without_samples_says_so(tmp_path: Path):
    report_sweep(typed([record("a", "r1", 0.5, 0.6), record("b", "r2", 0.7, 0.6)]), tmp_path, name="x", axis=None)
    assert "Not tested for significance" in (tmp_path / "tables" / "x.md").read_text()
