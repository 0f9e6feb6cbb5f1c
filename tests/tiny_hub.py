"""Write tiny dataset repositories for mteb's tasks, in the raw form that their classes load."""

import inspect
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from mteb.abstasks import AbsTask, AbsTaskClusteringLegacy, AbsTaskPairClassification, AbsTaskRetrieval
from mteb.abstasks.aggregated_task import AbsTaskAggregate

Columns = dict[str, list[Any]]
Splits = dict[str, Columns]
Form = Callable[[Any, random.Random], Splits]  # makes the splits of a subset of a task

TOPICS = [
    ["river", "boat", "water", "fish", "bridge"],
    ["guitar", "song", "dance", "piano", "singer"],
    ["engine", "wheel", "road", "driver", "fuel"],
]
FILLER = ["the", "a", "this", "some", "old", "new", "small", "large", "near", "with", "and", "very"]
N_CLASSES = len(TOPICS)


def sentence(rng: random.Random, topic: int, *, words: int = 6) -> str:
    """Return words of a topic among others."""
    return " ".join(rng.choice(TOPICS[topic]) if rng.random() < 0.6 else rng.choice(FILLER) for _ in range(words))


def classification(task: Any, rng: random.Random) -> Splits:
    text, label = task.input_column_name, task.label_column_name
    # more rows than mteb draws for training and for testing
    topics = [number % N_CLASSES for number in range(30)]
    return {
        split: {
            text: [f"{sentence(rng, topic)} {number}" for number, topic in enumerate(topics)],
            label: topics,
        }
        for split in dict.fromkeys([task.train_split, *task.eval_splits])
    }


def multilabel(task: Any, rng: random.Random) -> Splits:
    splits = classification(task, rng)
    for columns in splits.values():
        columns[task.label_column_name] = [[topic] for topic in columns[task.label_column_name]]
    return splits


def clustering(task: Any, rng: random.Random) -> Splits:
    topics = [number % N_CLASSES for number in range(60)]
    names = [f"{TOPICS[topic][0]}.{topic}" for topic in topics]
    texts = [f"{sentence(rng, topic)} {number}" for number, topic in enumerate(topics)]
    return {split: {task.input_column_name: texts, task.label_column_name: names} for split in task.eval_splits}


def in_sets(make: Form, n_sets: int = 1) -> Form:
    """Return a form with a row per set of rows, as lists."""
    return changed(
        make,
        lambda columns: {
            name: [values[number::n_sets] for number in range(n_sets)] for name, values in columns.items()
        },
    )


def repeated(make: Form, factor: int) -> Form:
    """Return a form with many more rows, some of which a task draws."""
    return changed(make, lambda columns: {name: values * factor for name, values in columns.items()})


def renamed(make: Form, **names: str) -> Form:
    """Return a form with other names of columns."""
    return changed(make, lambda columns: {names.get(name, name): values for name, values in columns.items()})


def changed(make: Form, change: Callable[[Columns], Columns]) -> Form:
    """Return a form with other columns in every split."""
    return lambda task, rng: {split: change(columns) for split, columns in make(task, rng).items()}


def with_splits(make: Form, **names: str) -> Form:
    """Return a form with other names of splits."""
    return lambda task, rng: {names.get(split, split): columns for split, columns in make(task, rng).items()}


def pairs(task: Any, rng: random.Random) -> Splits:
    topics = [(number % N_CLASSES, rng.randrange(N_CLASSES)) for number in range(30)]
    topics += [(topic, topic) for topic in range(N_CLASSES)]
    columns = {
        task.input1_column_name: [sentence(rng, one) for one, _ in topics],
        task.input2_column_name: [sentence(rng, other) for _, other in topics],
        task.label_column_name: [int(one == other) for one, other in topics],
    }
    return dict.fromkeys(task.eval_splits, columns)


def sts(task: Any, rng: random.Random) -> Splits:
    first, second = task.column_names
    topics = [(number % N_CLASSES, rng.randrange(N_CLASSES)) for number in range(30)]
    columns = {
        first: [sentence(rng, one) for one, _ in topics],
        second: [sentence(rng, other) for _, other in topics],
        "score": [float(task.min_score + (task.max_score - task.min_score) * (one == other)) for one, other in topics],
    }
    return dict.fromkeys(task.eval_splits, columns)


def summarization(task: Any, rng: random.Random) -> Splits:
    columns = {
        task.text_column_name: [sentence(rng, number % N_CLASSES, words=20) for number in range(6)],
        task.human_summaries_column_name: [
            [sentence(rng, number % N_CLASSES) for _ in range(3)] for number in range(6)
        ],
        task.machine_summaries_column_name: [
            [sentence(rng, (number + shift) % N_CLASSES) for shift in range(3)] for number in range(6)
        ],
        task.relevancy_column_name: [[5.0, 2.0 + 0.1 * number, 1.0] for number in range(6)],
    }
    return dict.fromkeys(task.eval_splits, columns)


def bitext(task: Any, rng: random.Random) -> Splits:
    texts = [f"{sentence(rng, number % N_CLASSES)} {number}" for number in range(12)]
    languages = {language for subset in task.hf_subsets for language in subset.split("-")}
    names = sorted(languages) if task.parallel_subsets else ["sentence1", "sentence2"]
    columns = {name: [f"{text} {number}" for text in texts] for number, name in enumerate(names)}
    return dict.fromkeys(task.eval_splits, columns)


def inferred_pairs(task: Any, rng: random.Random) -> Splits:
    """Return premises and hypotheses; 0 is entailment, 1 neutral, 2 contradiction."""
    splits = renamed(pairs, sentence1="premise", sentence2="hypothesis", labels="label")(task, rng)
    for columns in splits.values():
        columns["label"] = [0 if label else 1 + number % 2 for number, label in enumerate(columns["label"])]
    return splits


def hateful(task: Any, rng: random.Random) -> Splits:
    columns = renamed(repeated(classification, 70), label="is_hateful")(task, rng)["test"]
    return {"test": {**columns, "functionality": [str(label) for label in columns["is_hateful"]]}}


def topics_of_sentences(task: Any, rng: random.Random) -> Splits:
    columns = renamed(clustering, sentences="text", labels="category")(task, rng)["test"]
    return dict.fromkeys(("train", "validation", "test"), columns)


FORMS: Mapping[str, Form] = {
    "BitextMining": bitext,
    "Classification": classification,
    "Clustering": clustering,
    "MultilabelClassification": multilabel,
    "PairClassification": pairs,
    "STS": sts,
    "Summarization": summarization,
}
# the classes of these tasks rename columns or splits, or draw rows
OWN_FORMS: Mapping[str, Form] = {
    "MasakhaNEWSClassification": renamed(classification, label="category"),
    "MultiHateClassification": hateful,
    "SIB200ClusteringS2S": topics_of_sentences,
    "TweetTopicSingleClassification": with_splits(classification, train="train_2021"),
    "XNLI": inferred_pairs,
    **{
        name: renamed(in_sets(pairs), sentence1="sent1", sentence2="sent2")
        for name in ("SprintDuplicateQuestions", "TwitterSemEval2015", "TwitterURLCorpus")
    },
    **{
        name: in_sets(repeated(clustering, 40))
        for name in ("ArXivHierarchicalClusteringP2P", "ArXivHierarchicalClusteringS2S")
    },
}


def form_of(task: AbsTask) -> Form:
    """Return how the data of a task look before its class transforms them."""
    if own := OWN_FORMS.get(task.metadata.name):
        return own
    form = FORMS[task.metadata.type]
    if isinstance(task, AbsTaskPairClassification):
        return in_sets(form)
    flattens = "from_iterable" in inspect.getsource(type(task).dataset_transform)
    return in_sets(form, n_sets=4) if flattens or isinstance(task, AbsTaskClusteringLegacy) else form


def write(task: AbsTask, hub: Path) -> None:
    """Write the repository of a task, or those of the parts of an aggregate, below `hub`."""
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            write(part, hub)
        return
    configs = configurations(task)
    folder, listed = hub / task.metadata.dataset["path"], []
    for config, splits in configs.items():
        for split, columns in splits.items():
            path = folder / config / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), path)
        files = [{"split": split, "path": f"{config}/{split}.parquet"} for split in splits]
        listed.append({"config_name": config, "data_files": files})
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump({'configs': listed})}---\n", encoding="utf-8")


def configurations(task: Any) -> dict[str, Splits]:
    """Return the configurations of a task's repository."""
    name = task.metadata.name
    if name == "BelebeleRetrieval":
        return passages(task)
    if isinstance(task, AbsTaskRetrieval):
        return dict(itertools.chain.from_iterable(search(task, subset) for subset in task.hf_subsets))
    if name == "BibleNLPBitextMining":  # subset aai_Latn-eng_Latn is configuration eng-aai, with columns aai and eng
        pairs_ = [[language.split("_")[0] for language in subset.split("-")] for subset in task.hf_subsets]
        configs = {"-".join(sorted(pair, key=lambda one: one != "eng")): pair for pair in pairs_}
        return {
            config: renamed(bitext, sentence1=one, sentence2=other)(task, random.Random(config))
            for config, (one, other) in configs.items()
        }
    make = form_of(task)
    if not task.metadata.is_multilingual or getattr(task, "parallel_subsets", False):
        return {"default": make(task, random.Random(name))}
    configs = {subset: make(task, random.Random(subset)) for subset in task.hf_subsets}
    return {"default": with_languages(configs)} if task.fast_loading else configs


def passages(task: Any) -> dict[str, Splits]:
    """Return the configurations of Belebele, by language: passages, each with a question."""
    rng = random.Random(0)
    languages = {
        language.replace("-", "_") for subset in task.hf_subsets for language in task.metadata.eval_langs[subset]
    }
    columns = {
        "link": [f"page {number}" for number in range(12)],
        "question": [f"{sentence(rng, number % N_CLASSES)} {number}" for number in range(12)],
        "flores_passage": [f"{sentence(rng, number % N_CLASSES, words=15)} {number}" for number in range(12)],
    }
    return {language: {"test": columns} for language in sorted(languages)}


def search(task: Any, subset: str) -> Iterator[tuple[str, Splits]]:
    """Yield the configurations of a search or reranking task."""
    rng = random.Random(subset)
    before = f"{subset}-" if task.metadata.is_multilingual else ""
    topics = [number % N_CLASSES for number in range(24)]
    documents = {
        "_id": [f"d{number}" for number in range(len(topics))],
        "title": [TOPICS[topic][0] for topic in topics],
        "text": [f"{sentence(rng, topic, words=12)} {number}" for number, topic in enumerate(topics)],
    }
    follows = task.metadata.type == "InstructionReranking"  # each query is asked twice, with two instructions
    variants = ("-og", "-changed") if follows else ("_0", "_1") if "subqueries" in task.metadata.main_score else ("",)
    ids = [f"q{number}{variant}" for number in range(6 // len(variants)) for variant in variants]
    numbers = [number for number in range(6 // len(variants)) for _ in variants]  # of the query behind each variant
    asked = {"_id": ids, "text": [sentence(rng, number % N_CLASSES) for number in numbers]}
    found = [(id_, document) for id_, n in zip(ids, numbers, strict=True) for document in range(n, len(topics), 6)]
    relevant = {
        "query-id": [query for query, _ in found],
        "corpus-id": [f"d{document}" for _, document in found],
        "score": [1] * len(found),
    }
    parts: dict[str, Columns] = {"corpus": documents, "queries": asked, "qrels" if before else "default": relevant}
    if "Reranking" in task.metadata.type:
        parts["top_ranked"] = {"query-id": asked["_id"], "corpus-ids": [documents["_id"]] * len(asked["_id"])}
    if task.metadata.type.startswith("Instruction"):
        parts["instruction"] = {"query-id": asked["_id"], "instruction": [f"find {text}" for text in asked["text"]]}
    for name, columns in parts.items():
        yield f"{before}{name}", dict.fromkeys(task.eval_splits, columns)
    if follows:
        yield "qrel_diff", {"qrel_diff": {"query-id": ["q0", "q1"], "corpus-ids": [["d0"], ["d2"]]}}


def with_languages(configs: Mapping[str, Splits]) -> Splits:
    """Join subsets to one configuration with a column of languages."""
    joined: Splits = {}
    for subset, splits in configs.items():
        for split, columns in splits.items():
            n_rows = len(next(iter(columns.values())))
            for name, values in {**columns, "lang": [subset] * n_rows}.items():
                joined.setdefault(split, {}).setdefault(name, []).extend(values)
    return joined


def write_own(task: Any, folder: Path) -> None:
    """Write the files that a task of the paper's own reads below `data_dir`."""
    for name, columns in own_files(task).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            rows = zip(*columns.values(), strict=True)
            path.write_text("".join("\t".join(map(str, row)) + "\n" for row in rows), encoding="utf-8")
        else:
            pq.write_table(pa.table(columns), path)


def own_files(task: Any) -> dict[str, Columns]:
    """Return the columns of the files that a task of the paper's own reads, by their names below `data_dir`."""
    rng = random.Random(task.metadata.name)
    if hasattr(task, "places"):  # word similarity: columns by position
        rows = [(*rng.sample(TOPICS[0] + TOPICS[1], 2), rng.randint(0, task.max_score)) for _ in range(30)]
        names = dict(zip(task.places, ("word", "other word", "score"), strict=True))
        columns = dict(zip(task.places, map(list, zip(*rows, strict=True)), strict=True))
        order = range(max(task.places) + 1)
        return {task.files["test"]: {names.get(n, f"column {n + 1}"): columns.get(n, ["-"] * 30) for n in order}}
    tables: dict[str, Columns] = {}
    for part, file in task.files.items():
        topics = [number % N_CLASSES for number in range(40)]
        texts = [f"{sentence(rng, topic)} {number}" for number, topic in enumerate(topics)]
        columns = {name: [f"{sentence(rng, topic)}" for topic in topics] for name in task.columns[part]}
        if task.metadata.type == "PairClassification":
            columns["label"] = [("pos", "neg")[number % 2] for number in range(40)]
        elif task.metadata.type == "Clustering":
            columns["label"] = [TOPICS[topic][0] for topic in topics]
        elif "entity_name" in columns:  # a knowledge base, among whose names a query's is to be found
            columns["entity_name"] = tables[task.files["test"]]["label"]
        elif "query" in columns:
            columns |= {"query": texts, "label": [f"{text} {TOPICS[0][0]}" for text in texts]}
        elif "relatedness score" in columns:
            columns["relatedness score"] = [rng.random() for _ in topics]
        else:
            columns |= {task.text: texts, task.label: topics}
        tables[file] = columns
    return tables
