"""Tasks of the suite `starter`, on public data from package registries.

Sizes are chosen so that a six-layer transformer takes about a minute and a half on two CPU cores; sizes and seeds are
fixed here and stated in the tasks' metadata.
"""

import csv
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTaskClassification, AbsTaskClustering, AbsTaskRetrieval, AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

from m2v_bench.assets.fetch import catalog, fetch
from m2v_bench.cache import content_hash
from m2v_bench.tasks.own_task import OwnTask, own_metadata

SAMPLE_SEED = 42
_VERSION = 1  # increment when a task reads its data differently


class _FromAsset(OwnTask):
    """A task with data from an asset; `_read` converts the asset's files to a dataset."""

    asset: ClassVar[str]

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the asset, downloading it if needed."""
        if not self.data_loaded:
            self.dataset = self._read(fetch([self.asset])[self.asset])
            self.data_loaded = True

    def _read(self, folder: Path) -> Any:
        raise NotImplementedError


def _metadata(asset: str, *, sizes: Mapping[str, int | list[str]], about: str, **fields: Any) -> TaskMetadata:
    drawn = ", ".join(f"{name} {value if isinstance(value, int) else len(value)}" for name, value in sizes.items())
    sample = f" Draws are made with seed {SAMPLE_SEED}: {drawn}." if sizes else " All pairs are used."
    pin = catalog()[asset]
    return own_metadata(
        fields.pop("name"),
        fields.pop("type"),
        fields.pop("main_score"),
        f"{about}{sample} From the package {pin.source}.",
        path=f"registry/{pin.package}",
        # the revision changes with the data and the draws, so that no old score is reused
        revision=content_hash([_VERSION, pin.sha256, SAMPLE_SEED, sizes]),
        category=fields.pop("category", "t2c"),
        **fields,
    )


def read_tab(path: Path) -> tuple[list[str], list[str]]:
    """Read labels and texts from a tab-separated file with three header lines."""
    rows = [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[3:] if line.strip()]
    return [row[0] for row in rows], [row[1].strip() for row in rows]


# The training split is subsampled, as mteb iterates over all its rows in every experiment.
_TRAINING = {"training texts": 2000, "training texts per label": 8, "experiments": 3}


class _TextClassification(_FromAsset, AbsTaskClassification):
    asset = "newsgroups-reuters"
    files: ClassVar[str]
    n_test: ClassVar[int]
    samples_per_label = _TRAINING["training texts per label"]
    n_experiments = _TRAINING["experiments"]

    def _read(self, folder: Path) -> DatasetDict:
        splits = {split: read_tab(folder / f"{self.files}-{split}.tab") for split in ("train", "test")}
        names = sorted(set(splits["train"][0]))
        data = DatasetDict(
            {
                split: Dataset.from_dict({"text": texts, "label": [names.index(label) for label in labels]})
                for split, (labels, texts) in splits.items()
            }
        )
        for split, size in (("train", _TRAINING["training texts"]), ("test", self.n_test)):
            data = self.stratified_subsampling(data, seed=SAMPLE_SEED, splits=[split], n_samples=size)
        return data


class ReutersR8Classification(_TextClassification):
    n_characters = 217_777
    files = "reuters-r8"
    n_test = 384
    metadata = _metadata(
        "newsgroups-reuters",
        name="ReutersR8Classification",
        type="Classification",
        main_score="accuracy",
        about="Topic of a Reuters-21578 newswire story, the eight largest topics (R8).",
        sizes={"test texts": n_test, **_TRAINING},
        domains=["News", "Written"],
    )


class Newsgroups20Classification(_TextClassification):
    n_characters = 586_182
    files = "20newsgroups"
    n_test = 384
    metadata = _metadata(
        "newsgroups-reuters",
        name="Newsgroups20Classification",
        type="Classification",
        main_score="accuracy",
        about="Newsgroup of a whole post, 20 groups.",
        sizes={"test texts": n_test, **_TRAINING},
        domains=["Web", "Written"],
    )


class Newsgroups20Clustering(_FromAsset, AbsTaskClustering):
    n_characters = 657_402
    asset = "newsgroups-reuters"
    n_texts: ClassVar[int] = 512
    max_fraction_of_documents_to_embed = None
    max_document_to_embed = None
    max_documents_per_cluster = 400
    n_clusters = 40  # k-means starts at random: with 10 draws, rounding alone changed the score by 0.007
    metadata = _metadata(
        asset,
        name="Newsgroups20Clustering",
        type="Clustering",
        main_score="v_measure",
        about="Clusters of whole posts against their newsgroup, 20 groups.",
        sizes={"texts": n_texts, "draws": n_clusters, "texts per draw": max_documents_per_cluster},
        domains=["Web", "Written"],
    )

    def _read(self, folder: Path) -> DatasetDict:
        labels, texts = read_tab(folder / "20newsgroups-test.tab")
        rows = random.Random(SAMPLE_SEED).sample(range(len(texts)), self.n_texts)
        columns = {"sentences": [texts[i] for i in rows], "labels": [labels[i] for i in rows]}
        return DatasetDict(test=Dataset.from_dict(columns))


class AutoFJRetrieval(_FromAsset, AbsTaskRetrieval):
    n_characters = 271_944
    asset = "autofj"
    n_queries: ClassVar[int] = 1000
    tables: ClassVar[list[str]] = [
        "Amphibian",
        "BasketballTeam",
        "Hospital",
        "MotorsportSeason",
        "RailwayLine",
        "ShoppingMall",
    ]
    metadata = _metadata(
        asset,
        name="AutoFJRetrieval",
        type="Retrieval",
        category="t2t",
        main_score="ndcg_at_10",
        about="The title of the same entity in another table, over six AutoFJ tables put together.",
        sizes={"queries": n_queries, "tables": tables},
        annotations_creators="derived",
        domains=["Encyclopaedic", "Written"],
        date=("2007-01-01", "2021-12-31"),
    )

    def _read(self, folder: Path) -> dict[str, dict[str, dict[str, Any]]]:
        corpus: list[dict[str, str]] = []
        queries: dict[str, str] = {}
        relevant: dict[str, dict[str, int]] = {}
        for table in self.tables:
            corpus += [
                {"id": f"{table}-{row['id']}", "text": row["title"], "title": ""}
                for row in _read_csv(folder / table / "left.csv")
            ]
            for row in _read_csv(folder / table / "gt.csv"):
                query = f"{table}-{row['id_r']}"
                queries[query] = row["title_r"]
                relevant.setdefault(query, {})[f"{table}-{row['id_l']}"] = 1
        drawn = random.Random(SAMPLE_SEED).sample(sorted(queries), self.n_queries)
        return {
            "default": {
                "test": {
                    "corpus": Dataset.from_list(corpus),
                    "queries": Dataset.from_list([{"id": query, "text": queries[query]} for query in drawn]),
                    "relevant_docs": {query: relevant[query] for query in drawn},
                    "top_ranked": None,
                }
            }
        }


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


class _WordSimilarity(_FromAsset, AbsTaskSTS):
    asset = "word-similarity"
    group = "WordSim"
    file: ClassVar[str]
    min_score = 0
    max_score = 10

    def _read(self, folder: Path) -> DatasetDict:
        lines = (folder / self.file).read_text(encoding="utf-8").splitlines()
        rows = [line.split("\t") for line in lines if line.strip() and not line.startswith("#")]
        columns = {
            "sentence1": [row[0] for row in rows],
            "sentence2": [row[1] for row in rows],
            "score": [float(row[2]) for row in rows],
        }
        return DatasetDict(test=Dataset.from_dict(columns))


def _word_similarity(name: str, about: str) -> TaskMetadata:
    return _metadata(
        "word-similarity",
        name=name,
        type="STS",
        category="t2t",
        main_score="cosine_spearman",
        about=f"{about} Rank correlation of cosine and human judgement.",
        sizes={},
        date=("2001-01-01", "2015-12-31"),
    )


class MENWordSim(_WordSimilarity):
    n_characters = 34_232
    file = "men.tsv"
    max_score = 50
    metadata = _word_similarity("MENWordSim", "MEN: relatedness of word pairs (2,997 of the 3,000 in this copy).")


class MTurk771WordSim(_WordSimilarity):
    n_characters = 9_452
    file = "mturk771.tsv"
    max_score = 5
    metadata = _word_similarity(
        "MTurk771WordSim", "MTurk-771: relatedness of word pairs (770 of the 771 in this copy)."
    )


class SimLex999WordSim(_WordSimilarity):
    n_characters = 11_261
    file = "simlex999.tsv"
    metadata = _word_similarity("SimLex999WordSim", "SimLex-999: similarity, not relatedness, of 999 word pairs.")


class RareWordWordSim(_WordSimilarity):
    n_characters = 35_595
    file = "rareword.tsv"
    metadata = _word_similarity("RareWordWordSim", "RareWord: similarity of 2,034 pairs with a rare word.")


class WordSim353WordSim(_WordSimilarity):
    n_characters = 4_580
    file = "wordsim353.tsv"
    metadata = _word_similarity("WordSim353WordSim", "WordSim-353: relatedness of 353 word pairs.")


STARTER_TASKS: dict[str, type[_FromAsset]] = {
    cls.metadata.name: cls
    for cls in (
        ReutersR8Classification,
        Newsgroups20Classification,
        Newsgroups20Clustering,
        AutoFJRetrieval,
        MENWordSim,
        MTurk771WordSim,
        SimLex999WordSim,
        RareWordWordSim,
        WordSim353WordSim,
    )
}
