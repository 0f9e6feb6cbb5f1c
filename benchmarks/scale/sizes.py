"""How much a task asks for."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass, replace
from typing import Any

from mteb.abstasks import AbsTask

from m2v_bench.doctor.machine_needs import CHUNK
from m2v_bench.doctor.task_statistics import counted

TOP_K = 1000  # documents that mteb keeps of each chunk for each query


@dataclass(frozen=True)
class Size:
    """How much a task asks for.

    Attributes:
        texts: different texts, each of which is embedded once.
        characters: of these texts.
        rows: samples, with repetitions.
        pairs: queries times documents, of a search.
        ranked: queries times the best documents that are kept of each chunk of a corpus, of a search; the candidates
            of a reranking.
        labels: different labels of a classification, which learns from as many texts of each.
        training: samples of the split that a classification draws these from, over and over.
    """

    texts: float = 0
    characters: float = 0
    rows: float = 0
    pairs: float = 0
    ranked: float = 0
    labels: float = 0
    training: float = 0

    def __add__(self, other: "Size") -> "Size":
        return Size(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    def __mul__(self, share: float) -> "Size":
        return Size(*(share * one for one in astuple(self)))


def search_size(*, texts: float, characters: float, queries: float, documents: float) -> Size:
    """The size of a search of all documents for each query."""
    kept = sum(min(TOP_K, documents - start, CHUNK) for start in range(0, int(documents), CHUNK))
    return Size(texts, characters, queries + documents, queries * documents, queries * kept)


def size_of(task: AbsTask) -> Size | None:
    """The size of what a task is scored on, by the statistics that mteb ships; None where it has none."""
    sizes = [_size(split) for split in counted(task, training=False)]
    if not sizes:
        return None
    size = sum(sizes, start=Size())
    if task.metadata.type != "Classification":
        return replace(size, labels=0)  # of a clustering, which learns from none
    training = sum(split["num_samples"] for split in counted(task)) - size.rows
    drawn = min(training, task.n_experiments * task.samples_per_label * size.labels)  # as long as those that are scored
    drawn = Size(texts=drawn, characters=drawn * size.characters / size.texts)
    return replace(size + drawn, training=training)


def _size(split: Mapping[str, Any]) -> Size:
    """One split's or subset's."""
    told = [each for name, each in split.items() if name.endswith("statistics") and each and "unique_texts" in each]
    texts = sum(each["unique_texts"] for each in told)
    characters = sum(each["unique_texts"] * each["average_text_length"] for each in told)
    if candidates := split.get("top_ranked_statistics"):
        return Size(texts, characters, split["num_samples"], 0, candidates["num_top_ranked"])
    if split.get("num_documents") is None:
        labels = split.get("label_statistics") or {}
        return Size(texts, characters, split["num_samples"], labels=labels.get("unique_labels", 0))
    queries, documents = split["num_queries"], split["num_documents"]
    return search_size(texts=texts, characters=characters, queries=queries, documents=documents)
