"""Test `m2v-bench fidelity` on a real sweep in subprocesses, and its measures on arrays."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from m2v_bench import cli
from m2v_bench.errors import BenchError
from m2v_bench.results.experiment import find_experiment
from m2v_bench.runs import fidelity as fidelity_module
from m2v_bench.runs.fidelity import (
    Fidelity,
    fidelity,
    fidelity_grid,
    linear_cka,
    nearest,
    neighbour_overlap,
    read_texts,
    unit_rows,
)
from tests.conftest import run_bench

PAPER = Path(__file__).parents[2] / "results" / "paper"
OVERRIDES = ["-m", "pca_dims=16,256", "baseline=[teacher,glove-6b-50d]", "tracking=none"]
OVERRIDES += ["suite=custom", "suite.tasks=[SimLex999WordSim,WordSim353WordSim]"]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("fidelity")
    sweep = run_bench(*OVERRIDES, "sweep.name=mine", cwd=home)
    assert sweep.returncode == 0, sweep.stderr
    return home / "results"


def test_fidelity_of_a_real_sweep(
    results: Path, real_texts: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    texts = tmp_path / "texts.txt"
    texts.write_text("\n".join(text.replace("\n", " ") for text in [*real_texts[:300], real_texts[0]]))
    command = ["fidelity", "mine", "--results", str(results), "--texts", str(texts), "--format", "markdown"]
    tables = {path: path.stat().st_mtime_ns for path in (results / "tables").iterdir()}
    cli.main(command)
    shown = capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (results / "tables").iterdir()} == tables
    out = tmp_path / "out"
    command += ["--out", str(out)]
    cli.main(command)
    rows = pd.read_csv(out / "fidelity.csv").set_index("Model")
    small, large, glove = (rows.loc[name] for name in rows.index)
    assert list(rows.index) == ["M2V all-MiniLM-L6-v2 16d sif", "M2V all-MiniLM-L6-v2 256d sif", "GloVe 6B 50d"]
    assert glove["Overlap@10"] < large["Overlap@10"] < 100
    assert small["Overlap@10"] < large["Overlap@10"]
    assert 0 < small["CKA"] < large["CKA"] < 1
    scores = pd.read_csv(results / "tables" / "mine.csv").groupby("label")["main_score"].mean()
    assert large["Avg"] == pytest.approx(100 * scores["M2V all-MiniLM-L6-v2 256d sif"], abs=0.005)
    assert (large["Avg_n"], large["Avg_of"]) == (2, 2)
    assert "300 distinct texts of texts.txt" in shown
    files = sorted((results / "fidelity").rglob("*.json"))
    assert len(files) == 3
    before = {path: path.stat().st_mtime_ns for path in files}
    cli.main([*command, "--name", "again"])
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert (out / "again.md").read_text() == (out / "fidelity.md").read_text()


def test_cka_of_a_run_matches_sentence_transformers(results: Path, real_texts: list[str], tmp_path: Path):
    from m2v_bench import StaticModel
    from m2v_bench.assets.fetch import fetch
    from m2v_bench.runs.fidelity import linear_cka

    texts = tmp_path / "texts.csv"
    pd.DataFrame({"body": real_texts[:50]}).to_csv(texts, index=False)
    (run,) = (results / "sweeps" / "mine").glob("pca_dims-256*")
    options = ["--results", str(results), "--texts", str(texts), "--column", "body"]
    cli.main(["fidelity", str(run), *options])
    record = next(
        record
        for path in (results / "fidelity").rglob("*.json")
        if (record := json.loads(path.read_text()))["student"] and record["texts"]["label"] == "texts.csv"
    )
    from sentence_transformers import SentenceTransformer

    teacher = SentenceTransformer(str(fetch(["all-MiniLM-L6-v2"])["all-MiniLM-L6-v2"]), device="cpu")
    student = StaticModel.from_pretrained(run / "model")
    expected = linear_cka(teacher.encode(real_texts[:50]), student.encode(real_texts[:50]))
    assert record["linear_cka"] == pytest.approx(expected, abs=1e-4)


def test_texts_are_distinct_and_sampled_by_seed(tmp_path: Path):
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(str(number % 40) for number in range(100)))
    distinct = read_texts(str(file), most=1000, seed=1)
    assert distinct.texts == [str(number) for number in range(40)]
    drawn = [read_texts(str(file), most=20, seed=seed).texts for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len(set(drawn[0])) == 20
    assert np.all(np.diff([int(text) for text in drawn[0]]) > 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--texts", "nowhere.txt"], r"--texts nowhere\.txt: no such file or folder"),
        (["--texts", "few.txt"], r"--texts few\.txt: holds 2 distinct texts; more than 10 are needed"),
        (["--texts", "few.txt", "--most", "10"], "--most 10: must be above 10"),
    ],
)
def test_invalid_texts(options: list[str], message: str, results: Path, monkeypatch: pytest.MonkeyPatch):
    (results / "few.txt").write_text("one\ntwo\ntwo\n")
    monkeypatch.chdir(results)
    most = int(options[3]) if options[2:] else 20_000
    with pytest.raises(BenchError, match=message):
        fidelity(["mine"], results, texts=options[1], most=most)


def test_unknown_column(tmp_path: Path):
    file = tmp_path / "texts.csv"
    file.write_text("body\n" + "\n".join(map(str, range(20))))
    with pytest.raises(BenchError, match=r"--column text: .*texts\.csv has no such column; it has body"):
        read_texts(str(file), most=20, seed=1)


@pytest.mark.parametrize("path", sorted(PAPER.glob("tables/*_fidelity.md")), ids=lambda path: path.stem)
def test_a_kept_table_is_that_of_the_kept_measurements(path: Path):
    frame = pd.read_csv(PAPER / "tables" / "fidelity.csv", dtype={"revision": str})
    kept = {(row["model"], row["revision"], row["teacher"]): row for row in frame.to_dict("records")}
    name = path.stem.removesuffix("_fidelity")
    records = find_experiment(name, PAPER / f"{name}.parquet").all_records()
    keys = [(score.model, score.revision, record.teacher) for record in records for score in record.scores]
    measured = [measurement(kept[key]) for key in dict.fromkeys(keys) if key in kept]
    measured.sort(key=lambda row: not row.student)
    assert fidelity_grid(measured, records).markdown() == path.read_text(encoding="utf-8")


def measurement(row: dict[Any, Any]) -> Fidelity:
    """A row of fidelity.csv."""
    texts = {"texts": row["texts"]} | {name: row[f"texts_{name}"] for name in ("label", "revision", "n_all", "seed")}
    fields = {name: value for name, value in row.items() if not name.startswith(("texts", "versions"))}
    return Fidelity(**fields, texts=texts, versions={})


N = 120


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(N, 24)).astype(np.float32)
    student = (teacher[:, :10] + rng.normal(size=(N, 10))).astype(np.float32) * 7
    return teacher, student


def brute_neighbours(vectors: np.ndarray, k: int) -> list[set[int]]:
    neighbours = []
    for i, one in enumerate(vectors.astype(np.float64)):
        cosines = [(one @ other / np.linalg.norm(one) / np.linalg.norm(other), j) for j, other in enumerate(vectors)]
        neighbours.append({j for _, j in sorted(((c, j) for c, j in cosines if j != i), reverse=True)[:k]})
    return neighbours


def brute_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Compute CKA by the kernel definition: HSIC of the doubly centered Gram matrices."""
    n = len(one)
    centering = np.eye(n) - 1 / n
    grams = [rows.astype(np.float64) @ rows.astype(np.float64).T for rows in (one, other)]
    k, m = (centering @ gram @ centering for gram in grams)
    return float(np.trace(k @ m) / np.sqrt(np.trace(k @ k) * np.trace(m @ m)))


@pytest.mark.parametrize("block", [1 << 24, 1000, 1])
def test_neighbours_match_brute_force(pair, block: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fidelity_module, "_BLOCK", block)
    actual = [nearest(vectors, 10) for vectors in pair]
    expected = [brute_neighbours(vectors, 10) for vectors in pair]
    for rows, sets in zip(actual, expected, strict=True):
        assert rows.shape == (N, 10)
        assert [set(row) for row in rows.tolist()] == sets
    overlap = np.mean([len(one & other) / 10 for one, other in zip(*expected, strict=True)])
    assert neighbour_overlap(*actual) == pytest.approx(overlap)
    assert 0.1 < overlap < 0.9


def test_cka_matches_the_kernel_definition(pair):
    teacher, student = pair
    value = linear_cka(teacher, student)
    assert value == pytest.approx(brute_cka(unit_rows(teacher), unit_rows(student)), rel=1e-5)
    assert 0.1 < value < 0.9


def test_rotation_and_scale_do_not_matter(pair):
    teacher, _ = pair
    rotation, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(24, 24)))
    turned = (3 * teacher @ rotation).astype(np.float32)
    assert linear_cka(teacher, turned) == pytest.approx(1, abs=1e-5)
    assert neighbour_overlap(nearest(teacher), nearest(turned)) == 1
    # unrelated spaces share k / (n - 1) of the neighbours and have a CKA of about dims / n by chance
    other = np.random.default_rng(2).normal(size=(N, 24)).astype(np.float32)
    assert linear_cka(teacher, other) < 0.3
    assert neighbour_overlap(nearest(teacher), nearest(other)) == pytest.approx(10 / (N - 1), abs=0.02)


def test_cka_of_constant_embeddings_is_nan(pair):
    assert np.isnan(linear_cka(pair[0], np.ones((N, 4), np.float32)))
    assert np.isnan(linear_cka(pair[0], np.zeros((N, 4), np.float32)))
    assert nearest(np.zeros((N, 4), np.float32)).shape == (N, 10)


def test_memory_is_bounded():
    """All cosines of 20,000 texts take 1.6 GB; a fifth may be in memory at once."""
    import tracemalloc

    vectors = np.random.default_rng(3).normal(size=(20_000, 16)).astype(np.float32)
    tracemalloc.start()
    neighbours = nearest(vectors)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert neighbours.shape == (20_000, 10)
    assert peak < 320e6
