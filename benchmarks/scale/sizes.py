"""Size of a task in texts, characters and comparisons."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from mteb.abstasks import AbsTask

from m2v_bench.doctor.task_statistics import counted

TOP_K = 1000  # documents that mteb keeps per query


@dataclass(frozen=True)
class Size:
    """Size of a task.

    Attributes:
        texts: distinct texts, each embedded once.
        characters: characters of these texts.
        rows: samples, with repetitions.
        pairs: queries x documents of a search.
        ranked: documents kept for all queries together; candidates of a reranking.
        labels: distinct labels of a classification, which learns from equally many texts of each.
        training: samples of the split from which a classification repeatedly draws these texts.
    """

    texts: float = 0
    characters: float = 0
    rows: float = 0
    pairs: float = 0
    ranked: float = 0
    labels: float = 0
    training: float = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, share: float) -> "Size":
        return Size(*(share * value for value in astuple(self)))


def search_size(*, texts: float, characters: float, queries: float, documents: float) -> Size:
    """Return the size of a search of all documents for each query."""
    return Size(texts, characters, queries + documents, queries * documents, queries * min(TOP_K, documents))


def size_of(task: AbsTask) -> Size | None:
    """Return the size of a task's scored splits by mteb's statistics; None if there are none."""
    sizes = [_size(split) for split in counted(task, training=False)]
    if not sizes:
        return None
    size = sum(sizes, start=Size())
    if task.metadata.type != "Classification":
        return replace(size, labels=0)  # labels of a clustering are not used for learning
    training = sum(split["num_samples"] for split in counted(task)) - size.rows
    drawn = min(
        training, task.n_experiments * task.samples_per_label * size.labels
    )  # assumed as long as the scored texts
    drawn = Size(texts=drawn, characters=drawn * size.characters / size.texts)
    return replace(size + drawn, training=training)


def _size(split: Mapping[str, Any]) -> Size:
    """Return the size of a split or subset."""
    columns = [
        value for name, value in split.items() if name.endswith("statistics") and value and "unique_texts" in value
    ]
    texts = sum(column["unique_texts"] for column in columns)
    characters = sum(column["unique_texts"] * column["average_text_length"] for column in columns)
    if candidates := split.get("top_ranked_statistics"):
        return Size(texts, characters, split["num_samples"], 0, candidates["num_top_ranked"])
    if split.get("num_documents") is None:
        labels = split.get("label_statistics") or {}
        return Size(texts, characters, split["num_samples"], labels=labels.get("unique_labels", 0))
    queries, documents = split["num_queries"], split["num_documents"]
    return search_size(texts=texts, characters=characters, queries=queries, documents=documents)
