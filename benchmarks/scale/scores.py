"""Measure the embedding of texts of three lengths and the scoring of tasks of three sizes."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.scale.sizes import Size, search_size, size_of
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.recipe import make_recipe
from m2v_bench.distillation.teacher import find_base
from m2v_bench.evaluation.evaluate import Session, evaluate
from m2v_bench.evaluation.mteb_encoder import for_mteb
from m2v_bench.evaluation.store import Store
from m2v_bench.inference.static_model import DEFAULT_MAX_LENGTH
from m2v_bench.models import Model
from m2v_bench.models.sentence_transformer import teacher
from m2v_bench.models.static import StaticEncoder, distilled
from m2v_bench.tasks import SuiteTask, load_suite
from tests.conftest import TEST_DATA

BASES = ("paraphrase-MiniLM-L3-v2", "all-MiniLM-L6-v2", "bge-small-en-v1.5-int8")
SHARES = (1 / 16, 1 / 4, 1.0)
STOCK = (
    {"name": "AmazonCounterfactualClassification", "subsets": ["en"]},
    "Banking77Classification",
    "TwentyNewsgroupsClustering",
    "TwitterURLCorpus",
    "STS12",
    "SummEval",
)
OWN = ("PEARL-bird", "PEARL-turney", "PEARL-ppdb_filtered", "PEARL-autofj")
OWN += tuple(f"WordSim-{name}" for name in ("RareWord", "MEN", "SimLex", "rel353", "simverb", "mturk771", "Card660"))
QUERIES = 1 / 32  # queries per document in the search task


def processor_seconds(work: Callable[[], Any], *, least: float = 0.0) -> float:
    """Return processor seconds per call of `work`, repeated for at least `least` seconds."""
    repeats, begun = 0, time.process_time()
    while not repeats or time.process_time() - begun < least:
        work()
        repeats += 1
    return (time.process_time() - begun) / repeats


def real_texts() -> dict[str, list[str]]:
    """Read titles, sentences and paragraphs of Wikipedia that no model truncates."""
    paragraphs = pd.read_parquet(TEST_DATA / "speed" / "enwiki_paragraphs.parquet")
    sentences = pd.read_parquet(TEST_DATA / "speed" / "wikisplit_sentences.parquet")["text"]
    return {
        "titles": paragraphs["title"].drop_duplicates().tolist(),
        "sentences": sentences.tolist(),
        "paragraphs": [text for text in paragraphs["text"] if len(text) <= 500],
    }


def embedding(model: Model, n_texts: int) -> list[dict[str, Any]]:
    """Measure the embedding of a text at three lengths."""
    encoder, rows = model.load("cpu"), []
    if isinstance(encoder, StaticEncoder):
        encoder.model.fast_path()  # load before timing
    for name, texts in real_texts().items():
        drawn = texts[:n_texts]
        encoder.encode(drawn[:8], batch_size=32)  # warm up
        seconds = processor_seconds(lambda drawn=drawn: encoder.encode(drawn, batch_size=32), least=1.0)
        characters = sum(map(len, drawn)) / len(drawn)
        rows.append({"texts": name, "characters": characters, "seconds": seconds / len(drawn)})
    return rows


def longest(model: Model) -> float:
    """Return after how many characters a model truncates texts, on average over Wikipedia paragraphs."""
    texts = real_texts()["paragraphs"][:500]
    encoder = model.load("cpu")
    if isinstance(encoder, StaticEncoder):
        tokens, limit = encoder.model.tokenize(texts, max_length=None), DEFAULT_MAX_LENGTH
    else:
        tokens, limit = encoder.model.tokenizer(texts)["input_ids"], encoder.model.max_seq_length
    return limit * sum(map(len, texts)) / sum(map(len, tokens))


class Counting:
    """Encoder that counts texts and characters."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.texts, self.characters = encoder, 0, 0

    def encode(self, texts: Sequence[str], **kwargs: Any) -> Any:
        """Count and embed the texts."""
        self.texts, self.characters = self.texts + len(texts), self.characters + sum(map(len, texts))
        return self.encoder.encode(texts, **kwargs)


def evaluation(entry: SuiteTask, model: Model, share: float, size: Size) -> dict[str, Any]:
    """Measure a score, including data loading; `size` holds everything but the texts."""
    entry.load()  # at the first call, `datasets` converts the files
    counting = Counting(model.load("cpu"))
    counted = replace(model, load=lambda device: counting)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Store(Path(folder)), seed=42, batch_size=32, debug=True)
        encoders = {counted.label: for_mteb(counted, seed=42)}
        seconds = processor_seconds(lambda: evaluate(encoders, [counted], [entry], session))
    size = replace(size, texts=counting.texts, characters=counting.characters)
    return {"task": entry.name, "type": entry.task.metadata.type, "share": share, **asdict(size), "seconds": seconds}


def cut_repositories(share: float, target: Path) -> Path:
    """Copy the dataset repositories with a share of their samples."""
    shutil.copytree(TEST_DATA / "hub", target, ignore=shutil.ignore_patterns("scifact", "stand-in"))
    for file in target.rglob("*.parquet"):
        table = pd.read_parquet(file)
        if len(table) > 20:
            table = table.sample(max(20, round(share * len(table))), random_state=0)
        else:  # a row holds a set of texts with labels
            table = table.map(lambda cell: cell[: max(200, round(share * len(cell)))])
        table.to_parquet(file, index=False)
    return target


def search_files(share: float, folder: Path) -> tuple[dict[str, Any], Size]:
    """Write a search task among tweets: find the paraphrase of the query."""
    pairs = pd.read_parquet(TEST_DATA / "hub/mteb/twitterurlcorpus-pairclassification/default/test.parquet")
    documents = pairs.drop_duplicates("sent2").head(round(share * 40_000)).reset_index(drop=True)
    queries = documents.drop_duplicates("sent1").head(round(QUERIES * len(documents)))
    folder.mkdir()
    ids = [f"d{row}" for row in documents.index]
    pd.DataFrame({"id": ids, "text": documents["sent2"]}).to_parquet(folder / "corpus.parquet")
    pd.DataFrame({"id": [f"q{row}" for row in queries.index], "text": queries["sent1"]}).to_parquet(
        folder / "queries.parquet"
    )
    rows = queries.index
    relevant = pd.DataFrame({"query": [f"q{row}" for row in rows], "document": [f"d{row}" for row in rows]})
    relevant.to_parquet(folder / "relevant.parquet")
    data = {part: str(folder / f"{part}.parquet") for part in ("corpus", "queries", "relevant")}
    size = search_size(texts=0, characters=0, queries=len(queries), documents=len(documents))
    return {"name": "TweetSearch", "type": "Retrieval", "data": data}, size


def suite(tasks: Sequence[Any], hub: Path) -> list[SuiteTask]:
    """Load tasks by name from the folders of real data."""
    data = TEST_DATA / "eval"
    return load_suite(
        benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=str(hub), data_dir=str(data), seed=42
    )


def evaluations(model: Model, scratch: Path) -> Iterator[dict[str, Any]]:
    """Measure tasks at three sizes, and our tasks at their only size."""
    for share in SHARES:
        folder = scratch / f"{share:.4f}"
        cut = cut_repositories(share, folder / "hub")
        entry, size = search_files(share, folder / "search")
        for task in suite([*STOCK, entry], cut):
            whole = size_of(task.task)
            known = size if whole is None else replace(whole * share, labels=whole.labels)
            yield evaluation(task, model, share, known)
    for task in suite(OWN, TEST_DATA / "hub"):
        yield evaluation(task, model, 1.0, Size())


def embeddings() -> dict[str, Any]:
    """Measure a distilled model and the base models on texts of three lengths."""
    with tempfile.TemporaryDirectory() as scratch:
        models = {"static": student(Path(scratch)), **{base: teacher(find_base(base)) for base in BASES}}
        numbers = {name: 5_000 if name == "static" else 64 for name in models}
        return {
            name: {"longest": longest(model), "rows": [printed(row) for row in embedding(model, numbers[name])]}
            for name, model in models.items()
        }


def score_times() -> list[dict[str, Any]]:
    """Measure a distilled model on the tasks, after a warm-up."""
    with tempfile.TemporaryDirectory() as scratch:
        model = student(Path(scratch) / "model")
        for task in suite(["STS15"], TEST_DATA / "hub"):
            evaluation(task, model, 1.0, Size())
        return [printed(row) for row in evaluations(model, Path(scratch))]


def student(folder: Path, base: str = BASES[0]) -> Model:
    """Distil a model of 256 dimensions with the base model's vocabulary."""
    recipe = make_recipe(base)
    model = run_recipe(recipe, device="cpu", show_progress=False).model
    model.save_pretrained(folder)
    return distilled(model, folder, recipe)


def printed(row: dict[str, Any]) -> dict[str, Any]:
    """Print and return a measurement."""
    shown = {name: f"{value:,.4g}" if isinstance(value, float) else value for name, value in row.items()}
    print(*shown.items(), file=sys.stderr, flush=True)
    return row
