"""Every number of a score equals stock mteb's on the same embeddings, for every type of task."""

import copy
import importlib
import math
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import mteb
import numpy as np
import pytest
import pytrec_eval
import sklearn.metrics
import torch
from datasets import Dataset, DatasetDict
from hypothesis import given
from hypothesis import strategies as st
from mteb._evaluators.retrieval_metrics import _DEFAULT_ABSTENTION_RATES
from mteb._evaluators.text.summarization_evaluator import DeprecatedSummarizationEvaluator, SummarizationEvaluator
from mteb.abstasks import (
    AbsTask,
    AbsTaskBitextMining,
    AbsTaskClassification,
    AbsTaskClustering,
    AbsTaskClusteringLegacy,
    AbsTaskMultilabelClassification,
    AbsTaskPairClassification,
    AbsTaskRetrieval,
    AbsTaskSTS,
)
from mteb.abstasks.text.summarization import AbsTaskSummarization
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.search_wrappers import SearchEncoderWrapper

from benchmarks.scoring import HUB_TASKS, suite_of
from m2v_bench.evaluation.columns import as_columns, use_columns
from m2v_bench.evaluation.dense_search import DenseSearch, largest
from m2v_bench.evaluation.mteb_encoder import MtebEncoder, model_meta
from m2v_bench.evaluation.quick_metrics import (
    auc,
    classification_metrics,
    deprecated_summary_metrics,
    pair_metrics,
    summary_metrics,
)
from m2v_bench.evaluation.quick_mteb import REPLACED, place, quick_mteb, sanitized
from m2v_bench.evaluation.rank_metrics import RankEvaluator, confidence_scores, mrr
from m2v_bench.models import Model
from m2v_bench.system.threads import limit_threads
from m2v_bench.tasks.own_task import own_metadata
from m2v_bench.tasks.suite import SuiteTask
from tests.conftest import as_model, tiny_static_model

# mteb warns about newer versions of tasks, and torch about mteb's bitext mining
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

WORDS = [f"word{number}" for number in range(60)]
ROWS = 60
# Rows of each split and table of real data; stock mteb takes minutes for all of them.
CUT = 80


@pytest.fixture(scope="module")
def model() -> Model:
    return as_model(tiny_static_model(WORDS, dims=12), "quick")


class Text:
    """Random texts; some occur twice, so that documents have equal scores."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(7)

    def __call__(self, n: int) -> list[str]:
        fresh = [" ".join(self.rng.choice(WORDS, size=4)) for _ in range(n - n // 4)]
        return [*fresh, *fresh[: n // 4]]


def task_of(base: type[AbsTask], kind: str, main_score: str, read: Callable[[Text], Any], **settings: Any) -> AbsTask:
    """Make a task of a stock class with data of our own."""

    def load_data(self: AbsTask, num_proc: int | None = None, **kwargs: Any) -> None:
        self.dataset = read(Text())
        self.data_loaded = True

    metadata = own_metadata(f"Quick{kind}", kind, main_score, "random texts", path="none")
    return type(f"Quick{kind}", (base,), {"metadata": metadata, "load_data": load_data, **settings})()


def splits(read: Callable[[Text], dict[str, Any]]) -> Callable[[Text], DatasetDict]:
    return lambda text: DatasetDict({split: Dataset.from_dict(read(text)) for split in ("train", "test")})


def retrieval(text: Text, *, candidates: bool = False, instructions: bool = False, conversations: bool = False) -> Any:
    corpus, queries = text(200), text(20)
    rows = [{"id": f"d{i}", "title": f"title {i % 3}", "text": words} for i, words in enumerate(corpus)]
    asked = [{"id": f"q{i}", "text": words} for i, words in enumerate(queries)]
    if instructions:
        asked = [{**row, "instruction": "only word1 word2"} for row in asked]
    if conversations:
        asked = [{**row, "text": [row["text"], "word3"]} for row in asked]
    relevant = {f"q{i}": {f"d{j}": int(text.rng.integers(1, 3)) for j in range(i, 200, 40)} for i in range(19)}
    ranked = {f"q{i}": [f"d{j}" for j in range(i, 200, 7)] for i in range(20)}
    data = {
        "corpus": Dataset.from_list(rows),
        "queries": Dataset.from_list(asked),
        "relevant_docs": relevant,
        "top_ranked": ranked if candidates else None,
    }
    return {"default": {"test": data}}


def pairs(text: Text) -> dict[str, Any]:
    labels = text.rng.integers(0, 2, ROWS).tolist()
    return {"sentence1": text(ROWS), "sentence2": text(ROWS), "labels": labels}


SYNTHETIC = {
    "classification": lambda: task_of(
        AbsTaskClassification,
        "Classification",
        "accuracy",
        splits(lambda text: {"text": text(ROWS), "label": text.rng.integers(0, 3, ROWS).tolist()}),
    ),
    "cross-validation": lambda: task_of(
        AbsTaskClassification,
        "Classification",
        "accuracy",
        splits(lambda text: {"text": text(ROWS), "label": text.rng.integers(0, 2, ROWS).tolist()}),
        is_cross_validation=True,
        train_split="test",
    ),
    "multilabel": lambda: task_of(
        AbsTaskMultilabelClassification,
        "MultilabelClassification",
        "accuracy",
        splits(
            lambda text: {
                "text": text(ROWS),
                "label": [sorted(set(text.rng.integers(0, 4, 2).tolist())) for _ in range(ROWS)],
            }
        ),
    ),
    "clustering": lambda: task_of(
        AbsTaskClusteringLegacy,
        "Clustering",
        "v_measure",
        splits(
            lambda text: {
                "sentences": [text(40) for _ in range(4)],
                "labels": [text.rng.integers(0, 5, 40).tolist() for _ in range(3)] + [[1] * 40],
            }
        ),
    ),
    "fast clustering": lambda: task_of(
        AbsTaskClustering,
        "Clustering",
        "v_measure",
        splits(
            lambda text: {
                "sentences": text(ROWS),
                "labels": [[int(label), int(label) % 2] for label in text.rng.integers(0, 6, ROWS)],
            }
        ),
        max_fraction_of_documents_to_embed=0.8,
        max_documents_per_cluster=40,
    ),
    "pairs": lambda: task_of(AbsTaskPairClassification, "PairClassification", "max_ap", splits(pairs)),
    "pairs in one row": lambda: task_of(
        AbsTaskPairClassification,
        "PairClassification",
        "max_ap",
        splits(lambda text: {name: [values] for name, values in pairs(text).items()}),
    ),
    "retrieval": lambda: task_of(AbsTaskRetrieval, "Retrieval", "ndcg_at_10", retrieval),
    "reranking": lambda: task_of(
        AbsTaskRetrieval, "Reranking", "map_at_1000", lambda text: retrieval(text, candidates=True)
    ),
    "instruction retrieval": lambda: task_of(
        AbsTaskRetrieval, "InstructionRetrieval", "ndcg_at_10", lambda text: retrieval(text, instructions=True)
    ),
    "conversations": lambda: task_of(
        AbsTaskRetrieval, "Retrieval", "ndcg_at_10", lambda text: retrieval(text, conversations=True)
    ),
    "sts": lambda: task_of(
        AbsTaskSTS,
        "STS",
        "cosine_spearman",
        splits(
            lambda text: {"sentence1": text(ROWS), "sentence2": text(ROWS), "score": text.rng.uniform(0, 5, ROWS)},
        ),
    ),
    "summarization": lambda: task_of(
        AbsTaskSummarization,
        "Summarization",
        "cosine_spearman",
        splits(
            lambda text: {
                "text": text(6),
                "human_summaries": [text(4) for _ in range(6)],
                "machine_summaries": [text(8) for _ in range(6)],
                "relevance": text.rng.uniform(0, 5, (6, 8)).tolist(),
            }
        ),
        min_score=0,
        max_score=5,
    ),
    "bitext": lambda: task_of(
        AbsTaskBitextMining,
        "BitextMining",
        "f1",
        splits(lambda text: {"sentence1": text(ROWS), "sentence2": text(ROWS)}),
    ),
}


def both(task: AbsTask, model: Model) -> tuple[Any, Any]:
    """Return the scores of stock mteb and ours, on the same embeddings; `task` has no data yet."""
    entry = SuiteTask(task, task.metadata.name, task.metadata.type)
    stock, quick = entry.load(), entry.load()
    for loaded in (stock, quick):
        cut(loaded)
        loaded.rng_state, loaded.np_rng = copy.deepcopy((task.rng_state, task.np_rng))
    use_columns(quick)
    expected = score(stock, StockEncoder(model))
    with quick_mteb():
        return expected, score(quick, MtebEncoder(model, seed=42))


class StockEncoder(AbsEncoder):
    """Embed the texts of mteb's batches, as mteb's own wrapper of model2vec does."""

    def __init__(self, model: Model) -> None:
        self.mteb_model_meta = model_meta(model, seed=42)
        self.encoder = model.load("cpu")

    def encode(self, inputs: Any, **kwargs: Any) -> np.ndarray:
        texts = [text for batch in inputs for text in batch["text"]]
        return self.encoder.encode(texts, batch_size=32, prompt=None)


def score(task: AbsTask, encoder: Any) -> Any:
    kwargs = {"batch_size": 32, "show_progress_bar": False}
    results = mteb.evaluate(encoder, task, cache=None, co2_tracker=False, encode_kwargs=kwargs, show_progress_bar=False)
    return results.task_results[0].scores


def cut(task: AbsTask) -> None:
    if task.metadata.dataset["path"] == "none":
        return
    if isinstance(task, AbsTaskRetrieval):
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    task.dataset = _cut(task.dataset)


def _cut(data: Any) -> Any:
    if isinstance(data, Dataset):
        rows = data if len(data) > 1 else Dataset.from_dict({name: value[:CUT] for name, value in data[0].items()})
        rows = rows.select(range(0, len(rows), -(-len(rows) // CUT)))
        lists = [name for name, value in rows[0].items() if isinstance(value, list) and len(value) > CUT]
        return rows.map(lambda row: {name: row[name][:CUT] for name in lists}) if lists else rows
    if isinstance(data, Mapping) and "corpus" in data:
        queries = _cut(data["queries"])
        relevant = {query: data["relevant_docs"][query] for query in queries["id"] if query in data["relevant_docs"]}
        ranked = data["top_ranked"] and {query: data["top_ranked"][query] for query in queries["id"]}
        wanted = {document for documents in [*relevant.values(), *(ranked or {}).values()] for document in documents}
        rows = [i for i, name in enumerate(data["corpus"]["id"]) if name in wanted or i < 10 * CUT]
        corpus = data["corpus"].select(rows)
        return {"corpus": corpus, "queries": queries, "relevant_docs": relevant, "top_ranked": ranked}
    if isinstance(data, Mapping):
        parts = {name: _cut(part) for name, part in data.items()}
        return DatasetDict(parts) if isinstance(data, DatasetDict) else parts
    return data


def assert_equal(stock: Any, ours: Any, where: str = "") -> None:
    """Compare every number."""
    if isinstance(stock, Mapping):
        assert set(stock) == set(ours), where
        for name in stock:
            assert_equal(stock[name], ours[name], f"{where}/{name}")
    elif isinstance(stock, list):
        assert len(stock) == len(ours), where
        for number, (one, other) in enumerate(zip(stock, ours, strict=True)):
            assert_equal(one, other, f"{where}/{number}")
    elif isinstance(stock, float):
        both_nan = math.isnan(stock) and math.isnan(ours)
        assert both_nan or abs(stock - ours) <= 1e-9, f"{where}: {stock} {ours}"
    else:
        assert stock == ours, f"{where}: {stock} {ours}"


@pytest.mark.parametrize("kind", SYNTHETIC)
def test_every_type_has_the_numbers_of_stock_mteb(kind: str, model: Model):
    stock, ours = both(SYNTHETIC[kind](), model)
    numbers = stock["test"][0]
    assert any(isinstance(value, float) and value not in (0.0, 1.0) for value in numbers.values())
    assert_equal(stock, ours)


@pytest.mark.parametrize("task", HUB_TASKS, ids=lambda task: task if isinstance(task, str) else task["name"])
@pytest.mark.usefixtures("hub_dir")
def test_real_tasks_have_the_numbers_of_stock_mteb(task: Any):
    words = [
        "a",
        "the",
        "of",
        "in",
        "is",
        "to",
        "and",
        "for",
        "i",
        "my",
        "on",
        "it",
        "that",
        "what",
        "card",
        "not",
        "you",
        "with",
        "be",
        "how",
        "can",
    ]
    model = as_model(tiny_static_model(words, dims=16), "quick")
    suite = suite_of([task])
    assert suite[0].missing is None
    assert_equal(*both(suite[0].task, model))


@pytest.mark.parametrize("repeated", [None, "corpus", "queries"])
def test_search_in_several_chunks_finds_the_same_documents(repeated: str | None, model: Model):
    data = retrieval(Text())["default"]["test"]
    if repeated:
        rows = [
            {**row, "id": f"{row['id'][0]}{i % (len(data[repeated]) // 2)}"} for i, row in enumerate(data[repeated])
        ]
        data[repeated] = Dataset.from_list(rows)
    task = SYNTHETIC["retrieval"]()
    found: list[Any] = []
    for search in (SearchEncoderWrapper, DenseSearch):
        engine = search(MtebEncoder(model, seed=42), corpus_chunk_size=30)
        place: Any = {"task_metadata": task.metadata, "hf_split": "test", "hf_subset": "default"}
        kwargs: Any = {"batch_size": 32, "show_progress_bar": False}
        found.append([])
        for top_k in (1, 7, 40, 500):
            engine.index(as_columns(data["corpus"]), encode_kwargs=kwargs, **place)
            found[-1].append(engine.search(as_columns(data["queries"]), top_k=top_k, encode_kwargs=kwargs, **place))
    stock, ours = found
    assert stock == ours
    scores = list(stock[3]["q0"].values())
    assert len(set(scores)) < len(scores)  # some documents have equal scores


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n_queries", [1, 2, 513, 769, 1300])
def test_blocks_of_similarities_are_those_of_mteb(n_queries: int, threads: int, model: Model):
    rng = np.random.default_rng(n_queries)
    queries, documents = (rng.normal(size=(n, 48)).astype(np.float32) for n in (n_queries, 700))
    encoder = MtebEncoder(model, seed=42)
    with limit_threads(threads):
        whole = encoder.similarity(queries, documents).numpy()
        blocks = [(rows, scores.copy()) for rows, scores in encoder.similarities(queries, documents)]
    assert np.concatenate([scores for _, scores in blocks]).tobytes() == whole.tobytes()
    assert [rows.start for rows, _ in blocks] == [0, *(rows.stop for rows, _ in blocks[:-1])]


@pytest.mark.parametrize("kind", [int, str, float, "mixed"])
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12))
def test_classifications_have_the_metrics_of_stock_mteb(kind: Any, pairs: list[tuple[int, int]]):
    first, second = (int, str) if kind == "mixed" else (kind, kind)
    gold, predicted = [first(one) for one, _ in pairs], np.array([second(other) for _, other in pairs])
    task: Any = SYNTHETIC["classification"]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = task._calculate_scores(gold, predicted)
        except (TypeError, ValueError) as error:  # mteb refuses it, so do we
            with pytest.raises(type(error)):
                classification_metrics(task, gold, predicted)
        else:
            assert_equal(expected, classification_metrics(task, gold, predicted))


@pytest.mark.parametrize("high", [True, False])
@given(st.lists(st.tuples(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.7]), st.integers(0, 1)), max_size=12))
def test_pairs_have_the_metrics_of_stock_mteb(high: bool, pairs: list[tuple[float, int]]):
    scores, labels = [score for score, _ in pairs], np.array([label for _, label in pairs], np.int64)
    task: Any = SYNTHETIC["pairs"]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = task._compute_metrics_values(scores, labels, high)
        except (IndexError, ValueError, ZeroDivisionError) as error:  # mteb refuses it, so do we
            with pytest.raises(type(error)):
                pair_metrics(task, scores, labels, high)
        else:
            assert pair_metrics(task, scores, labels, high) == expected


@pytest.mark.parametrize("lengths", [(16, 16, 16), (4, 8, 4, 5), (3, 5), (2, 2), ()])
@pytest.mark.parametrize(
    ("evaluator", "quick"),
    [
        (SummarizationEvaluator, summary_metrics),
        (DeprecatedSummarizationEvaluator, deprecated_summary_metrics),
    ],
)
def test_summaries_have_the_metrics_of_stock_mteb(evaluator: Any, quick: Callable[..., Any], lengths: tuple[int, ...]):
    rng = np.random.default_rng(len(lengths))
    names = ("human_scores", "cosine_scores", "dot_scores", "similarity_scores")
    distances = {name: [rng.normal(size=n).round(1).tolist() for n in lengths] for name in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_equal(evaluator._calculate_metrics(None, distances), quick(None, distances))
        if lengths:
            distances["similarity_scores"][0] = [0.5] * lengths[0]
            assert_equal(evaluator._calculate_metrics(None, distances), quick(None, distances))


RANKED = st.dictionaries(
    st.sampled_from("abc"),
    st.tuples(
        st.dictionaries(st.sampled_from("defghijk"), st.sampled_from([-1.0, 0.0, 0.25, 0.5, 0.5 + 1e-9, 0.5 + 1e-7])),
        st.dictionaries(st.sampled_from("defghijklm"), st.integers(-1, 3)),
    ),
)


@given(RANKED)
def test_reciprocal_ranks_are_those_of_mteb(queries: dict[str, tuple[dict[str, float], dict[str, int]]]):
    results = {query: scores for query, (scores, _) in queries.items()}
    qrels = {query: relevant for query, (_, relevant) in queries.items()}
    stock = importlib.import_module("mteb._evaluators.retrieval_metrics").mrr(qrels, results, [1, 3, 10])
    assert mrr(qrels, results, [1, 3, 10]) == stock


@given(RANKED)
def test_rank_metrics_are_those_of_trec_eval(queries: dict[str, tuple[dict[str, float], dict[str, int]]]):
    results = {query: scores for query, (scores, _) in queries.items()}
    qrels = {query: relevant for query, (_, relevant) in queries.items() if query != "c"}
    measures = {f"{name}.1,3,10" for name in ("map_cut", "ndcg_cut", "recall", "P", "success")}
    stock = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(results)
    quick = RankEvaluator(qrels, measures).evaluate(results)
    assert list(quick) == list(stock)
    assert_equal(stock, quick)
    others = {"map", "P.1"}
    assert RankEvaluator(qrels, others).evaluate(results) == pytrec_eval.RelevanceEvaluator(qrels, others).evaluate(
        results
    )


@given(st.lists(st.floats(-1, 1), max_size=8))
def test_confidence_scores_are_those_of_mteb(scores: list[float]):
    stock = importlib.import_module("mteb._evaluators.retrieval_metrics").confidence_scores(scores)
    assert confidence_scores(scores) == stock


@given(st.lists(st.floats(-1, 1), min_size=10, max_size=10))
def test_area_is_that_of_scikit_learn(curve: list[float]):
    assert auc(_DEFAULT_ABSTENTION_RATES, np.array(curve)) == sklearn.metrics.auc(_DEFAULT_ABSTENTION_RATES, curve)


@pytest.mark.parametrize("levels", [10**6, 300, 20, 2])
@pytest.mark.parametrize("share", [None, 0.0, 0.5, 0.99, 1.0])
def test_largest_numbers_are_those_of_torch(levels: int, share: float | None):
    rng = np.random.default_rng(levels)
    scores = torch.from_numpy(rng.integers(0, levels, (150, 2000)).astype(np.float32))
    scores[0] = torch.arange(2000)  # the limit that every 16th column gives is right, or too high
    scores[1] = torch.where(torch.arange(2000) % 16 == 0, 5.0 * levels, 1.0)
    worst = None if share is None else scores.quantile(share, dim=1, keepdim=True)
    for count in (1, 20, 60, 2000):
        needed = [-math.inf] * len(scores) if worst is None else worst[:, 0].tolist()
        expected = torch.topk(scores, count, dim=1)
        found = largest(scores.numpy(), count, None if worst is None else worst.numpy())
        for row, least in enumerate(needed):
            sides = [
                {
                    (value, column)
                    for value, column in zip(values[row].tolist(), columns[row].tolist(), strict=True)
                    if value >= least
                }
                for values, columns in (expected, found)
            ]
            assert sides[0] == sides[1]


def test_a_model_is_recognized_as_mteb_does(model: Model):
    from mteb.models.model_meta import ModelMeta

    encoder = MtebEncoder(model, seed=42)
    stock = importlib.import_module("mteb.evaluate")._sanitize_model(encoder)
    assert isinstance(stock[1], ModelMeta)
    assert all(one is other for one, other in zip(stock, sanitized(encoder), strict=True))


def test_mteb_is_as_before_after_a_score():
    before = names_in_mteb()
    with pytest.raises(ZeroDivisionError), quick_mteb():
        assert names_in_mteb() == [quick for _, _, quick in REPLACED]
        raise ZeroDivisionError
    assert names_in_mteb() == before
    with ThreadPoolExecutor(1) as pool:  # as two threads use it
        one, other = quick_mteb(), quick_mteb()
        one.__enter__()
        pool.submit(other.__enter__).result()
        one.__exit__(None, None, None)
        assert names_in_mteb() == [quick for _, _, quick in REPLACED]
        pool.submit(other.__exit__, None, None, None).result()
    assert names_in_mteb() == before
    assert not sklearn.get_config()["skip_parameter_validation"]


def names_in_mteb() -> list[Any]:
    return [getattr(*place(module, name)) for module, name, _ in REPLACED]


def test_similarity_of_two_vectors_is_that_of_mteb(model: Model):
    vectors = np.random.default_rng(0).normal(size=(40, 12)).astype(np.float32)
    vectors[3], vectors[5] = 0, vectors[4]
    quick, stock = MtebEncoder(model, seed=42), StockEncoder(model)
    for one in vectors:
        for other in vectors:
            assert float(quick.similarity(one, other)) == float(stock.similarity(one, other))
    assert (np.asarray(quick.similarity(vectors, vectors)) == np.asarray(stock.similarity(vectors, vectors))).all()
