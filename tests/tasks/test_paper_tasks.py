"""Test the paper's task sets WordSim, PEARL and classification on the original data."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import Dataset
from scipy.stats import pearsonr
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from m2v_bench.assets.fetch import fetch
from m2v_bench.errors import BenchError
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.evaluation.store import Store
from m2v_bench.speed.suite_speed import TEXTS_PER_TASK, SpeedTexts
from m2v_bench.tasks import SuiteTask, load_suite
from m2v_bench.tasks.paper_classification import CLASSIFICATION_TASKS
from m2v_bench.tasks.pearl import PEARL_TASKS
from m2v_bench.tasks.probing import probe
from m2v_bench.tasks.samples import read_samples
from m2v_bench.tasks.wordsim import WORDSIM_TASKS
from tests.conftest import TEST_DATA, glove


@pytest.fixture(scope="module")
def data_dir() -> Path:
    if not (TEST_DATA / "eval").is_dir():
        pytest.skip(f"no evaluation sets at {TEST_DATA}/eval (set M2V_BENCH_TEST_DATA)")
    return TEST_DATA / "eval"


@pytest.fixture(scope="module")
def scores(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Return GloVe's scores on all available sets except the large SST-2."""
    model = glove()
    entries = [entry for entry in suite(data_dir) if not entry.missing and not entry.name.startswith("SST2")]
    session = Session(Store(tmp_path_factory.mktemp("results")), seed=42, batch_size=32, debug=True)
    got = evaluate({"GloVe": MtebEncoder(model, seed=42)}, [model], entries, session)
    return {score.task: float(score.main_score or 0) for score in got}


@pytest.fixture(scope="module")
def glove_unit() -> Any:
    """Return unit embeddings of texts."""
    encoder = glove().load("cpu")

    def embed(texts: Any) -> np.ndarray:
        vectors = encoder.encode(list(texts), batch_size=256)
        return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)

    return embed


def suite(data_dir: Path | None, hub_dir: Path | None = None) -> list[SuiteTask]:
    names = [*WORDSIM_TASKS, *PEARL_TASKS, *CLASSIFICATION_TASKS]
    return load_suite(
        benchmark=None,
        tasks=names,
        languages=["eng"],
        splits=["test"],
        hub_dir=hub_dir and str(hub_dir),
        data_dir=data_dir and str(data_dir),
        seed=42,
    )


def test_sizes_match_the_papers(data_dir: Path):
    loaded = {entry.name: entry.load().dataset for entry in suite(data_dir) if not entry.missing}
    sizes = {name: {split: len(rows) for split, rows in data.items()} for name, data in loaded.items()}
    known = {
        "WordSim-RareWord": {"test": 2034},
        "WordSim-MEN": {"test": 3000},
        "WordSim-SimLex": {"test": 999},
        "WordSim-rel353": {"test": 252},
        "WordSim-simverb": {"test": 3500},
        "WordSim-mturk771": {"test": 771},
        "WordSim-Card660": {"test": 660},
        "PEARL-bird": {"test": 3345},
        "PEARL-turney": {"test": 2180},
        "PEARL-ppdb": {"test": 23364},
        "PEARL-ppdb_filtered": {"test": 15532},
        "PEARL-conll": {"test": 4946},
        "PEARL-autofj": {"test": 50},
        "SST2HeldOut": {"train": 60614, "test": 6735},
        "TRECHeldOut": {"train": 4906, "test": 546},
        "SST2Test": {"train": 67349, "test": 1821},
        "TRECTest": {"train": 5452, "test": 500},
    }
    assert {"WordSim-MEN", "PEARL-bird", "TRECTest"} <= set(sizes)
    assert sizes == {name: known[name] for name in sizes}
    assert {(row["sentence1"], row["sentence2"], row["score"]) for row in loaded["WordSim-simverb"]["test"]} >= {
        ("take", "remove", 6.81)
    }


def test_missing_data_is_named(data_dir: Path, tmp_path: Path):
    (tmp_path / "pearl").mkdir()
    shutil.copyfile(data_dir / "pearl" / "bird.parquet", tmp_path / "pearl" / "bird.parquet")
    missing = {entry.name: entry.missing for entry in suite(tmp_path) if entry.missing}
    assert missing["PEARL-yago"] == f"not in data_dir={tmp_path}: pearl/yago.parquet, pearl/yago_kb.parquet"
    assert {*WORDSIM_TASKS, *PEARL_TASKS, *CLASSIFICATION_TASKS} - set(missing) == {"PEARL-bird", "PEARL-autofj"}
    nowhere = {entry.name: entry.missing or "" for entry in suite(None, hub_dir=tmp_path)}
    assert "set data_dir to a folder with wordsim/men.txt" in nowhere["WordSim-MEN"]
    assert "Lihuchen/pearl_benchmark" in nowhere["PEARL-bird"]
    assert not nowhere["PEARL-autofj"]  # in a package registry


def test_dataset_repository_replaces_the_folder(data_dir: Path, tmp_path: Path):
    repository = tmp_path / "Lihuchen" / "pearl_benchmark"
    (repository / "bird").mkdir(parents=True)
    (repository / "bird" / "test.parquet").write_bytes((data_dir / "pearl" / "bird.parquet").read_bytes())
    (repository / "README.md").write_text(
        "---\nconfigs:\n- config_name: bird\n  data_files:\n  - split: test\n    path: bird/test.parquet\n---\n"
    )
    here = {entry.name: entry for entry in suite(None, hub_dir=tmp_path)}["PEARL-bird"]
    there = {entry.name: entry for entry in suite(data_dir)}["PEARL-bird"]
    assert here.load().dataset["test"]["term1"][:] == there.load().dataset["test"]["term1"][:]


def test_changed_data_changes_the_revision(data_dir: Path, tmp_path: Path):
    (tmp_path / "pearl").mkdir()
    pd.read_parquet(data_dir / "pearl" / "bird.parquet").head(100).to_parquet(tmp_path / "pearl" / "bird.parquet")
    revisions = [
        {entry.name: entry for entry in suite(folder)}["PEARL-bird"].task.metadata.dataset["revision"]
        for folder in (data_dir, tmp_path)
    ]
    assert revisions[0] != revisions[1]


def test_bird_is_the_correlation_of_cosines(data_dir: Path, scores: dict[str, float], glove_unit: Any):
    rows = pd.read_parquet(data_dir / "pearl" / "bird.parquet")
    cosines = (glove_unit(rows["term1"]) * glove_unit(rows["term2"])).sum(axis=1)
    assert scores["PEARL-bird"] == pytest.approx(pearsonr(cosines, rows["relatedness score"]).statistic, abs=1e-5)


def test_turney_chooses_by_dot_product(data_dir: Path, scores: dict[str, float]):
    rows = pd.read_parquet(data_dir / "pearl" / "turney.parquet")
    encoder = glove().load("cpu")
    right = 0
    for row in rows.itertuples(index=False):
        query, *candidates = encoder.encode([row.query, row.label, *row[2:]], batch_size=8)
        right += int(np.argmax([query @ candidate for candidate in candidates]) == 0)
    assert scores["PEARL-turney"] == pytest.approx(right / len(rows), abs=1e-3)  # ties of unknown words


def test_fuzzy_join_averages_the_tables(scores: dict[str, float], glove_unit: Any):
    folder = fetch(["autofj"])["autofj"]
    accuracies = []
    for table in sorted(path for path in folder.iterdir() if path.is_dir()):
        left, right, truth = (pd.read_csv(table / f"{name}.csv", dtype=str) for name in ("left", "right", "gt"))
        answer = dict(zip(truth["title_r"], truth["title_l"], strict=True))
        asked = [title for title in right["title"] if title in answer]
        nearest = np.argmax(glove_unit(asked) @ glove_unit(left["title"]).T, axis=1)
        accuracies.append(
            np.mean([left["title"][row] == answer[title] for row, title in zip(nearest, asked, strict=True)])
        )
    assert len(accuracies) == 50
    assert scores["PEARL-autofj"] == pytest.approx(np.mean(accuracies), abs=1e-3)  # ties


def test_probing_network_learns_and_is_reproducible():
    rng = np.random.default_rng(0)
    labels = rng.random(2000) < 0.5
    vectors = rng.normal(size=(2000, 16)).astype(np.float32)
    vectors[:, 0] += 3 * labels
    first, second = probe(vectors, labels, seed=1), probe(vectors, labels, seed=1)
    assert len(first) == 300
    assert first.mean() > 0.85
    assert (first == second).all()
    chance = probe(vectors, rng.permutation(labels), seed=1)
    assert chance.mean() < 0.62


def test_paraphrase_accuracy_is_above_chance(data_dir: Path, scores: dict[str, float]):
    labels = pd.read_parquet(data_dir / "pearl" / "ppdb_filtered.parquet")["label"]
    assert (labels == "pos").mean() == 0.5
    assert scores["PEARL-ppdb_filtered"] > 0.505


@pytest.mark.parametrize("name", ["TRECHeldOut", "TRECTest"])
def test_trec_protocol(data_dir: Path, scores: dict[str, float], name: str, glove_unit: Any):
    encoder = glove().load("cpu")
    train = Dataset.from_pandas(pd.read_parquet(data_dir / "classification" / "trec" / "train.parquet"))
    test = Dataset.from_pandas(pd.read_parquet(data_dir / "classification" / "trec" / "test.parquet"))
    if name == "TRECHeldOut":
        parts = train.train_test_split(test_size=0.1, seed=42)
        train, test = parts["train"], parts["test"]
    scaler = StandardScaler().fit(first := encoder.encode(train["text"][:], batch_size=256))
    classifier = LogisticRegression(max_iter=1000).fit(scaler.transform(first), train["coarse_label"])
    right = (
        classifier.predict(scaler.transform(encoder.encode(test["text"][:], batch_size=256))) == test["coarse_label"]
    )
    assert scores[name] == pytest.approx(right.mean(), abs=0.004)  # one or two texts near the decision boundary


def test_entity_linking_and_clustering(tmp_path: Path):
    folder = tmp_path / "pearl"
    folder.mkdir()
    words = ["paris", "london", "berlin", "cat", "dog", "horse", "red", "blue", "green"]
    pd.DataFrame({"entity_name": [*words, None]}).to_parquet(folder / "yago_kb.parquet")
    pd.DataFrame({"query": ["Paris", "dog", "red", "Berlin"], "label": ["paris", "dog", "red", "cat"]}).to_parquet(
        folder / "yago.parquet"
    )
    pd.DataFrame({"entity": words, "label": [0] * 3 + [1] * 3 + [2] * 3}).to_parquet(folder / "conll.parquet")
    model = glove()
    entries = [entry for entry in suite(tmp_path) if entry.name in ("PEARL-yago", "PEARL-conll")]
    session = Session(Store(tmp_path / "results"), seed=42, batch_size=32, debug=True)
    linked, clustered = evaluate({"GloVe": MtebEncoder(model, seed=42)}, [model], entries, session)
    assert linked.main_score == 0.75
    assert clustered.main_score == 1
    (file,) = (tmp_path / "results" / "samples").rglob("PEARL-conll.npz")
    (samples,) = read_samples(file).values()
    assert samples.metric == "mutual_information"
    assert samples.score() == 1


def test_texts_are_sampled_for_speed(data_dir: Path):
    entries = {entry.name: entry for entry in suite(data_dir)}
    for name in ("WordSim-MEN", "PEARL-bird", "PEARL-autofj", "TRECTest"):
        assert len(SpeedTexts(42).of([entries[name]])) == TEXTS_PER_TASK, name


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("wordsim/men.txt", b"a\tb\t1\nc\td\thigh\n", r"columns 1, 2, 3 of line 2 must be two words and a score: 'c"),
        ("wordsim/men.txt", b"a\tb\t1\nc\td\tnan\n", "of line 2 must be two words and a score"),
        ("wordsim/men.txt", b"a\tb\t1\n\td\t2\n", "of line 2 must be two words and a score"),
        ("wordsim/simLex.txt", b"a\tb\t1\n", "columns 2, 3, 4 of line 1"),
        ("wordsim/men.txt", b"caf\xe9\tb\t1\n", "is not UTF-8: byte 0xe9"),
        ("wordsim/men.txt", b"version https://git-" + b"lfs.example/spec/v1\noid sha256:0\n", "is a Git LFS pointer"),
        (
            "pearl/bird.parquet",
            {"term1": ["a"], "term2": ["b"], "score": [1]},
            "has no column relatedness score; it has",
        ),
        (
            "pearl/bird.parquet",
            {"term1": ["a", None], "term2": ["b", "c"], "relatedness score": [1, 2]},
            "row 2, column term1",
        ),
        ("pearl/ppdb.parquet", {"phrase_1": ["a"], "phrase_2": ["b"], "label": ["yes"]}, "label in row 1 is 'yes'"),
        ("classification/trec/train.parquet", {"text": ["a"], "label": [1]}, "has no column coarse_label"),
    ],
)
def test_bad_files_are_refused_with_the_row(tmp_path: Path, file: str, content: Any, message: str):
    path = tmp_path / file
    path.parent.mkdir(parents=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        pd.DataFrame(content).to_parquet(path)
    with pytest.raises(BenchError, match=message):
        for entry in suite(tmp_path):
            if not entry.missing and entry.name != "PEARL-autofj":
                entry.load()


def test_byte_order_mark_is_stripped_and_unicode_line_ends_are_kept(tmp_path: Path):
    (tmp_path / "wordsim").mkdir()
    (tmp_path / "wordsim" / "men.txt").write_bytes("\ufeffsun\tmoon\t1\r\na\u2028b\tc\x85\t2\r\n".encode())
    (entry,) = [entry for entry in suite(tmp_path) if entry.name == "WordSim-MEN"]
    assert entry.load().dataset["test"]["sentence1"][:] == ["sun", "a\u2028b"]
