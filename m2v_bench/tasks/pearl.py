"""The nine phrase tasks of PEARL (Chen, Varoquaux, Suchanek, EACL 2024), the paper's PEARL column.

They are scored as in the PEARL paper's code. Where that code draws without a seed or searches approximately, ours
seeds the draw or searches exactly; docstrings say so.
"""

import csv
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset, DatasetDict

from m2v_bench.assets.fetch import catalog, fetch
from m2v_bench.errors import BenchError
from m2v_bench.tasks.own_task import FromFiles, OwnTask, own_metadata
from m2v_bench.tasks.probing import probe
from m2v_bench.tasks.samples import Samples

_REPOSITORY = "Lihuchen/pearl_benchmark"
_BLOCK = 4096  # rows of the knowledge base that are compared with all queries in one product


class _Pearl(OwnTask):
    group = "PEARL"

    def _evaluate_subset(
        self, model: Any, data_split: Any, *, encode_kwargs: Any, prediction_folder: Path | None = None, **kwargs: Any
    ) -> dict[str, float]:
        score, samples = self._score(model, encode_kwargs)
        if prediction_folder:
            self._save_task_predictions(
                samples, model, prediction_folder, hf_split=kwargs["hf_split"], hf_subset=kwargs["hf_subset"]
            )
        return {self.metadata.main_score: score}

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        # return the main score and its samples by part; empty for a score without samples
        raise NotImplementedError


class _PearlFile(_Pearl, FromFiles):
    repository = _REPOSITORY


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)


def _nearest(queries: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return for each unit query the row of `base` with the largest cosine, computed block by block."""
    best = np.full(len(queries), -np.inf, np.float32)
    nearest = np.zeros(len(queries), int)
    for start in range(0, len(base), _BLOCK):
        cosines = queries @ _unit(base[start : start + _BLOCK]).T
        row = cosines.argmax(axis=1)
        value = cosines[np.arange(len(queries)), row]
        nearest = np.where(value > best, start + row, nearest)
        best = np.maximum(best, value)
    return nearest


def _hits(hits: np.ndarray, unit: str) -> tuple[float, dict[str, Samples]]:
    return float(hits.mean()), {"": Samples("mean", hits.astype(np.float32), None, unit)}


class Bird(_PearlFile):
    """Pearson correlation of the cosine and the judged relatedness of two phrases."""

    files: ClassVar = {"test": "pearl/bird.parquet"}
    configs: ClassVar = {"test": ("bird", "test")}
    columns: ClassVar = {"test": ("term1", "term2", "relatedness score")}
    metadata = own_metadata(
        "PEARL-bird",
        "STS",
        "pearson",
        "Relatedness of 3,345 phrase pairs (BiRD, Asaadi et al., 2019). Pearson correlation of cosine and judgement.",
        path=_REPOSITORY,
    )

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        rows = self._rows("test")
        first, second = (_unit(self.embed(model, rows[term], encode_kwargs)) for term in ("term1", "term2"))
        gold = np.asarray(rows["relatedness score"])
        samples = Samples("pearson", (first * second).sum(axis=1), gold, "pair")
        return samples.score(), {"": samples}


class Turney(_PearlFile):
    """Accuracy of choosing the synonym among five candidates by dot product, as in the paper's code."""

    files: ClassVar = {"test": "pearl/turney.parquet"}
    configs: ClassVar = {"test": ("turney", "test")}
    columns: ClassVar = {
        "test": ("query", "label", "candidate_1", "candidate_2", "candidate_3", "candidate_4"),
    }
    metadata = own_metadata(
        "PEARL-turney",
        "Classification",
        "accuracy",
        "The word that means the same as a bigram, of five (Turney, 2012). Accuracy of the largest dot product.",
        path=_REPOSITORY,
    )

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        rows = self._rows("test")
        query = self.embed(model, rows["query"], encode_kwargs)
        candidates = self.columns["test"][1:]
        scores = [(self.embed(model, rows[name], encode_kwargs) * query).sum(axis=1) for name in candidates]
        return _hits(np.argmax(scores, axis=0) == 0, "query")


class _Ppdb(_PearlFile):
    """Accuracy of a small network that detects paraphrases, trained on the two concatenated embeddings."""

    columns: ClassVar = {"test": ("phrase_1", "phrase_2", "label")}

    def arrange(self, parts: dict[str, Dataset]) -> DatasetDict:
        """Refuse labels other than `pos` and `neg`."""
        for row, label in enumerate(parts["test"]["label"][:], start=1):
            if label not in ("pos", "neg"):
                raise BenchError(f"{self.metadata.name}: label in row {row} is {label!r}; it must be pos or neg")
        return super().arrange(parts)

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        rows = self._rows("test")
        pair = [self.embed(model, rows[name], encode_kwargs) for name in ("phrase_1", "phrase_2")]
        labels = np.array([label == "pos" for label in rows["label"]])
        return _hits(probe(np.hstack(pair), labels, seed=self.seed), "pair")


def _ppdb(name: str, about: str) -> type[_Ppdb]:
    metadata = own_metadata(
        f"PEARL-{name}",
        "PairClassification",
        "accuracy",
        f"{about} Accuracy of a probing network on 15 % of the pairs, trained on 70 %.",
        path=_REPOSITORY,
    )
    fields = {"files": {"test": f"pearl/{name}.parquet"}, "configs": {"test": (name, "test")}, "metadata": metadata}
    return type(f"Pearl{name}", (_Ppdb,), fields)


class _EntityLinking(_PearlFile):
    """Accuracy of the nearest name in the knowledge base by cosine; exact, while the paper's code approximates."""

    columns: ClassVar = {"test": ("query", "label"), "kb": ("entity_name",)}
    nullable: ClassVar = ("entity_name",)

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        names = [name for name in self._rows("kb")["entity_name"] if name is not None]
        rows = self._rows("test")
        queries = _unit(self.embed(model, rows["query"], encode_kwargs))
        nearest = _nearest(queries, self.embed(model, names, encode_kwargs))
        hits = [names[row] == label for row, label in zip(nearest, rows["label"], strict=True)]
        return _hits(np.array(hits), "query")


def _linking(name: str, split: str, about: str) -> type[_EntityLinking]:
    metadata = own_metadata(
        f"PEARL-{name}",
        "Classification",
        "accuracy",
        f"{about} Accuracy of the nearest name by cosine.",
        path=_REPOSITORY,
    )
    fields = {
        "files": {"test": f"pearl/{name}.parquet", "kb": f"pearl/{name}_kb.parquet"},
        "configs": {"test": (name, split), "kb": ("kb", name)},
        "metadata": metadata,
    }
    return type(f"Pearl{name}", (_EntityLinking,), fields)


class _EntityClustering(_PearlFile):
    """Normalized mutual information of k-means clusters and entity types."""

    version: ClassVar[int] = 2
    n_clusters: ClassVar[int]
    columns: ClassVar = {"test": ("entity", "label")}
    nullable: ClassVar = ("entity",)

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        from sklearn.cluster import KMeans

        rows = self._rows("test")
        vectors = self.embed(model, [name or "NA" for name in rows["entity"]], encode_kwargs)
        clusters = KMeans(n_clusters=self.n_clusters, random_state=0).fit(vectors).labels_
        labels = np.unique(rows["label"][:], return_inverse=True)[1].astype(np.float32)
        samples = Samples("mutual_information", clusters.astype(np.float32), labels, "entity")
        return samples.score(), {"": samples}


def _clustering(name: str, n_clusters: int, about: str) -> type[_EntityClustering]:
    metadata = own_metadata(
        f"PEARL-{name}", "Clustering", "nmi", f"{about} Normalized mutual information of k-means.", path=_REPOSITORY
    )
    fields = {
        "files": {"test": f"pearl/{name}.parquet"},
        "configs": {"test": (name, "test")},
        "n_clusters": n_clusters,
        "metadata": metadata,
    }
    return type(f"Pearl{name}", (_EntityClustering,), fields)


class FuzzyJoin(_Pearl):
    """Accuracy of the nearest title in the other table, averaged over 50 tables (AutoFJ, Li et al., 2021)."""

    asset = "autofj"
    metadata = own_metadata(
        "PEARL-autofj",
        "Classification",
        "accuracy",
        "The same entity in another table. Accuracy of the nearest title by cosine, mean over 50 tables.",
        path="registry/autofj",
    )

    def locate(self, data_dir: Path | None, hub_dir: Path | None) -> None:
        """Pin the task to the package with the tables."""
        self.pin(catalog()[self.asset].sha256)

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the tables, downloading their package if needed."""
        if self.data_loaded:
            return
        folder = fetch([self.asset])[self.asset]
        rows = []
        for table in sorted(path for path in folder.iterdir() if path.is_dir()):
            left = [row["title"] for row in _read_csv(table / "left.csv")]
            joined = {row["title_r"]: row["title_l"] for row in _read_csv(table / "gt.csv")}
            right = [row["title"] for row in _read_csv(table / "right.csv") if row["title"] in joined]
            answers = [joined[title] for title in right]
            rows.append({"table": table.name, "left": left, "right": right, "answers": answers})
        self.dataset = DatasetDict(test=Dataset.from_list(rows))
        self.data_loaded = True

    def _score(self, model: Any, encode_kwargs: Any) -> tuple[float, dict[str, Samples]]:
        parts = {}
        for row in self._rows("test"):
            left, right = (_unit(self.embed(model, row[side], encode_kwargs)) for side in ("left", "right"))
            nearest = np.argmax(right @ left.T, axis=1)
            hits = [row["left"][place] == answer for place, answer in zip(nearest, row["answers"], strict=True)]
            parts[row["table"]] = _hits(np.array(hits), "query")[1][""]
        return float(np.mean([part.score() for part in parts.values()])), parts


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


_TASKS = (
    Bird,
    Turney,
    _ppdb("ppdb", "Paraphrase or not (PPDB)."),
    _ppdb("ppdb_filtered", "Paraphrase or not, pairs without a word in common (PPDB)."),
    _linking("yago", "test", "The entity that a mention means, among the names of YAGO."),
    _linking("umls", "umls", "The concept that a mention means, among the names of UMLS."),
    FuzzyJoin,
    _clustering("conll", 3, "Entities of CoNLL 2003: person, location, organisation."),
    _clustering("bc5cdr", 2, "Entities of BC5CDR: chemical, disease."),
)
PEARL_TASKS: dict[str, type[_Pearl]] = {cls.metadata.name: cls for cls in _TASKS}
