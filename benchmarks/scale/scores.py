"""How long texts of three lengths and tasks of three sizes take."""

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
QUERIES = 1 / 32  # of the documents, in the search whose corpus grows


def processor_seconds(work: Callable[[], Any], *, least: float = 0.0) -> float:
    """Seconds of processor time that `work` takes, repeated until they are `least`, per repetition."""
    repeats, begun = 0, time.process_time()
    while not repeats or time.process_time() - begun < least:
        work()
        repeats += 1
    return (time.process_time() - begun) / repeats


def real_texts() -> dict[str, list[str]]:
    """Titles, sentences and paragraphs of Wikipedia, none longer than what every model reads."""
    paragraphs = pd.read_parquet(TEST_DATA / "speed" / "enwiki_paragraphs.parquet")
    sentences = pd.read_parquet(TEST_DATA / "speed" / "wikisplit_sentences.parquet")["text"]
    return {
        "titles": paragraphs["title"].drop_duplicates().tolist(),
        "sentences": sentences.tolist(),
        "paragraphs": [text for text in paragraphs["text"] if len(text) <= 500],
    }


def embedding(model: Model, n_texts: int) -> list[dict[str, Any]]:
    """What a text takes at three lengths."""
    encoder, rows = model.load("cpu"), []
    if isinstance(encoder, StaticEncoder):
        encoder.model.fast_path()  # loaded before the clock runs
    for name, texts in real_texts().items():
        drawn = texts[:n_texts]
        encoder.encode(drawn[:8], batch_size=32)  # warm
        seconds = processor_seconds(lambda drawn=drawn: encoder.encode(drawn, batch_size=32), least=1.0)
        characters = sum(map(len, drawn)) / len(drawn)
        rows.append({"texts": name, "characters": characters, "seconds": seconds / len(drawn)})
    return rows


def longest(model: Model) -> float:
    """How many characters of a text a model reads on average, by the tokens that Wikipedia's paragraphs have."""
    texts = real_texts()["paragraphs"][:500]
    encoder = model.load("cpu")
    if isinstance(encoder, StaticEncoder):
        tokens, limit = encoder.model.tokenize(texts, max_length=None), DEFAULT_MAX_LENGTH
    else:
        tokens, limit = encoder.model.tokenizer(texts)["input_ids"], encoder.model.max_seq_length
    return limit * sum(map(len, texts)) / sum(map(len, tokens))


class Counting:
    """An encoder that counts what it is given."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.texts, self.characters = encoder, 0, 0

    def encode(self, texts: Sequence[str], **kwargs: Any) -> Any:
        """See `Encoder.encode`."""
        self.texts, self.characters = self.texts + len(texts), self.characters + sum(map(len, texts))
        return self.encoder.encode(texts, **kwargs)


def evaluation(entry: SuiteTask, model: Model, share: float, size: Size) -> dict[str, Any]:
    """What a score takes, the loading of its data included; `size` tells all but the texts."""
    entry.load()  # the first time, `datasets` converts the files
    counting = Counting(model.load("cpu"))
    counted = replace(model, load=lambda device: counting)
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Store(Path(folder)), seed=42, batch_size=32, debug=True)
        encoders = {counted.label: for_mteb(counted, seed=42)}
        seconds = processor_seconds(lambda: evaluate(encoders, [counted], [entry], session))
    size = replace(size, texts=counting.texts, characters=counting.characters)
    return {"task": entry.name, "type": entry.task.metadata.type, "share": share, **asdict(size), "seconds": seconds}


def cut_repositories(share: float, target: Path) -> Path:
    """The dataset repositories with a share of their samples."""
    shutil.copytree(TEST_DATA / "hub", target, ignore=shutil.ignore_patterns("scifact", "stand-in"))
    for file in target.rglob("*.parquet"):
        table = pd.read_parquet(file)
        if len(table) > 20:
            table = table.sample(max(20, round(share * len(table))), random_state=0)
        else:  # a row is a set of texts with their labels
            table = table.map(lambda cell: cell[: max(200, round(share * len(cell)))])
        table.to_parquet(file, index=False)
    return target


def search_files(share: float, folder: Path) -> tuple[dict[str, Any], Size]:
    """A search among tweets: which one says the same as the query."""
    pairs = pd.read_parquet(TEST_DATA / "hub/mteb/twitterurlcorpus-pairclassification/default/test.parquet")
    documents = pairs.drop_duplicates("sent2").head(round(share * 40_000)).reset_index(drop=True)
    asked = documents.drop_duplicates("sent1").head(round(QUERIES * len(documents)))
    folder.mkdir()
    ids = [f"d{row}" for row in documents.index]
    pd.DataFrame({"id": ids, "text": documents["sent2"]}).to_parquet(folder / "corpus.parquet")
    pd.DataFrame({"id": [f"q{row}" for row in asked.index], "text": asked["sent1"]}).to_parquet(
        folder / "queries.parquet"
    )
    judged = pd.DataFrame({"query": [f"q{row}" for row in asked.index], "document": [f"d{row}" for row in asked.index]})
    judged.to_parquet(folder / "relevant.parquet")
    data = {part: str(folder / f"{part}.parquet") for part in ("corpus", "queries", "relevant")}
    size = search_size(texts=0, characters=0, queries=len(asked), documents=len(documents))
    return {"name": "TweetSearch", "type": "Retrieval", "data": data}, size


def suite(tasks: Sequence[Any], hub: Path) -> list[SuiteTask]:
    """Tasks by name, their data from the folders of real data."""
    data = TEST_DATA / "eval"
    return load_suite(
        benchmark=None, tasks=tasks, languages=["eng"], splits=["test"], hub_dir=str(hub), data_dir=str(data), seed=42
    )


def evaluations(model: Model, scratch: Path) -> Iterator[dict[str, Any]]:
    """What is fitted: tasks at three sizes, and those that there is one size of."""
    for share in SHARES:
        folder = scratch / f"{share:.4f}"
        cut = cut_repositories(share, folder / "hub")
        entry, size = search_files(share, folder / "search")
        for one in suite([*STOCK, entry], cut):
            whole = size_of(one.task)
            known = size if whole is None else replace(whole * share, labels=whole.labels)
            yield evaluation(one, model, share, known)
    for one in suite(OWN, TEST_DATA / "hub"):
        yield evaluation(one, model, 1.0, Size())


def embeddings() -> dict[str, Any]:
    """A distilled model and the base models on texts of three lengths."""
    with tempfile.TemporaryDirectory() as scratch:
        models = {"static": student(Path(scratch)), **{base: teacher(find_base(base)) for base in BASES}}
        numbers = {name: 5_000 if name == "static" else 64 for name in models}
        return {
            name: {"longest": longest(model), "rows": [said(row) for row in embedding(model, numbers[name])]}
            for name, model in models.items()
        }


def score_times() -> list[dict[str, Any]]:
    """A distilled model on the tasks, after a first one that imports what all share."""
    with tempfile.TemporaryDirectory() as scratch:
        model = student(Path(scratch) / "model")
        for one in suite(["STS15"], TEST_DATA / "hub"):
            evaluation(one, model, 1.0, Size())
        return [said(row) for row in evaluations(model, Path(scratch))]


def student(folder: Path) -> Model:
    """A distilled model of 256 dimensions with the base model's own vocabulary."""
    recipe = make_recipe(BASES[0])
    made = run_recipe(recipe, device="cpu", show_progress=False).model
    made.save_pretrained(folder)
    names = {"name": recipe.name, "revision": recipe.revision, "label": recipe.label, "variant": recipe.variant}
    return distilled(made, folder, **names)


def said(row: dict[str, Any]) -> dict[str, Any]:
    shown = {name: f"{value:,.4g}" if isinstance(value, float) else value for name, value in row.items()}
    print(*shown.items(), file=sys.stderr, flush=True)
    return row
