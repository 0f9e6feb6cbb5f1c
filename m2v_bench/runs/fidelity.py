"""Compare the embedding space of static models with that of their teacher, on real sentences."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr
from tqdm.auto import tqdm

from m2v_bench.cache import cached_arrays, content_hash, write_json
from m2v_bench.config.compose import read_config
from m2v_bench.distillation.corpus import Corpus
from m2v_bench.distillation.token_vectors import pick_device
from m2v_bench.errors import BenchError, check_seed
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.models import Model, base_of, load_baselines
from m2v_bench.models.sentence_transformer import teacher
from m2v_bench.models.static import distilled
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.score_table import AVERAGE, ScoreTable, header, score_table
from m2v_bench.reports.signature import merged
from m2v_bench.reports.summary import record_rows
from m2v_bench.results.experiment import find_experiment
from m2v_bench.results.record import RunRecord
from m2v_bench.results.scores import unique_labels
from m2v_bench.system.environment import versions

FOLDER = "fidelity"  # below the results; a file per model and set of texts
NEIGHBOURS = 10
# Raise it when the code below gives other numbers for the same texts and models.
VERSION = 1
_FEW = 5  # students, below which no correlation is shown
_BLOCK = 1 << 24  # cosines held at a time


@dataclass(frozen=True)
class Texts:
    """The distinct texts that models are compared on.

    Attributes:
        label, revision: of the file or dataset.
        texts: the texts drawn from it.
        n_all: how many distinct texts it has.
        seed: seed of the draw.
    """

    label: str
    revision: str
    texts: list[str]
    n_all: int
    seed: int


@dataclass(frozen=True)
class Fidelity:
    """Fidelity of a model to its teacher.

    Attributes:
        model, revision, label, kind: the model, as in `Model`.
        student: whether it was distilled from the teacher.
        teacher, teacher_revision: label and revision of the teacher.
        neighbour_overlap: share of the teacher's nearest neighbours that the model has, too.
        neighbours: how many neighbours were compared.
        linear_cka: linear centered kernel alignment.
        zero_vectors: number of texts whose embedding is all zeros.
        texts: label and revision of the texts, their number `texts`, `n_all` and `seed`, as in `Texts`.
        versions: by package.
    """

    model: str
    revision: str
    label: str
    kind: str
    student: bool
    teacher: str
    teacher_revision: str
    neighbour_overlap: float
    neighbours: int
    linear_cka: float
    zero_vectors: int
    texts: Mapping[str, Any]
    versions: Mapping[str, str]


def fidelity(
    runs: Sequence[str], results_dir: Path, *, texts: str, column: str = "text", most: int = 20_000, seed: int = 42
) -> Grid:
    """Compare every student and baseline of runs with its teacher, and show the result beside the scores on tasks.

    Earlier measurements are read from results_dir/fidelity.

    Args:
        runs: runs or sweeps, by name or folder.
        results_dir: the results folder, where measurements are written.
        texts: a file or dataset, as `Corpus` reads it.
        column: the column of the texts.
        most: the largest number of distinct texts; a larger set is sampled.
        seed: seed of the draw.

    Raises:
        BenchError: for an unknown run, a run without its model, or too few texts.
    """
    check_seed(seed)
    jobs = _jobs(runs, results_dir)
    drawn = read_texts(texts, column, most=most, seed=seed)
    measured: list[Fidelity] = []
    teachers: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # their embeddings and neighbours, by revision
    for folder, record in tqdm(jobs.items(), desc="comparing with teachers", unit="run", disable=None):
        measured += _of_run(folder, record, drawn, results_dir, teachers)
    unique = {(row.model, row.revision, row.teacher): row for row in measured}
    students_first = sorted(unique.values(), key=lambda row: not row.student)
    return fidelity_grid(students_first, list(jobs.values()))


def read_texts(name: str, column: str = "text", *, most: int, seed: int) -> Texts:
    """Read the distinct texts of a file or dataset, at most `most` of them.

    Raises:
        BenchError: when there are too few for the number of neighbours.
    """
    if most <= NEIGHBOURS:
        raise BenchError(f"--most {most}: must be above {NEIGHBOURS}, the number of neighbours that are compared")
    corpus = Corpus(name, column, settings=("--texts ", "--column "))
    every = list(dict.fromkeys(text for batch in corpus.batches() for text in batch))
    if len(every) <= NEIGHBOURS:
        raise BenchError(f"--texts {name}: holds {len(every)} distinct texts; more than {NEIGHBOURS} are needed")
    chosen = every
    if len(every) > most:
        chosen = [every[i] for i in sorted(np.random.default_rng(seed).choice(len(every), most, replace=False))]
    return Texts(corpus.label, corpus.revision, chosen, len(every), seed)


def _jobs(words: Sequence[str], results_dir: Path) -> dict[Path, RunRecord]:
    """Read the records of runs and sweeps, by the folders of the jobs."""
    jobs: dict[Path, RunRecord] = {}
    for word in words:
        experiment = find_experiment(word, results_dir)
        jobs |= {job.folder: record for job, record in zip(experiment.jobs, experiment.all_records(), strict=True)}
    return jobs


def _of_run(
    folder: Path,
    record: RunRecord,
    texts: Texts,
    results_dir: Path,
    teachers: dict[str, tuple[np.ndarray, np.ndarray]],
) -> list[Fidelity]:
    """Measure the models of a run that have not been measured yet, and read the others."""
    settings = read_config(folder)
    base = base_of(settings)
    reference = teacher(base)
    others = [model for model in load_baselines(settings.baselines, base) if model.kind != "lexical"]
    models = [_student(folder, record), *(model for model in others if model.name != reference.name)]
    paths = {model.label: _path(results_dir, model, reference, texts) for model in models}
    known = {model.label: _read(paths[model.label]) for model in models}
    todo = [model for model in models if known[model.label] is None]
    if todo:
        embed = functools.partial(
            embeddings, texts=texts.texts, device=pick_device(settings.device), batch_size=settings.batch_size
        )
        if reference.revision not in teachers:
            vectors = embed(reference)
            teachers[reference.revision] = vectors, nearest(vectors)
        expected, neighbours = teachers[reference.revision]
        for model in todo:
            vectors = embed(model)
            measured = Fidelity(
                model=model.name,
                revision=model.revision,
                label=model.label,
                kind=model.kind,
                student=model is models[0],
                teacher=reference.label,
                teacher_revision=reference.revision,
                neighbour_overlap=neighbour_overlap(neighbours, nearest(vectors)),
                neighbours=NEIGHBOURS,
                linear_cka=linear_cka(expected, vectors),
                zero_vectors=int(np.sum(~vectors.any(axis=1))),
                texts={**asdict(texts), "texts": len(texts.texts)},
                versions=versions(),
            )
            known[model.label] = measured
            write_json(paths[model.label], asdict(measured))
    return [row for row in known.values() if row is not None]


def _student(folder: Path, record: RunRecord) -> Model:
    return distilled(StaticModel.from_pretrained(folder / "model"), folder / "model", record)


def _path(results_dir: Path, model: Model, reference: Model, texts: Texts) -> Path:
    key = [VERSION, reference.name, reference.revision, texts.revision, len(texts.texts), texts.seed]
    folder = results_dir / FOLDER / model.name.replace("/", "__") / model.revision
    return folder / f"{reference.label}-{content_hash(key)[:8]}.json"


def _read(path: Path) -> Fidelity | None:
    try:
        return Fidelity(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def embeddings(model: Model, texts: Sequence[str], *, device: str, batch_size: int) -> np.ndarray:
    """Embed texts: float32 array of shape (texts, dims); a transformer's embeddings are cached."""

    def compute(_: Path) -> dict[str, np.ndarray]:
        return {"vectors": np.asarray(model.load(device).encode(texts, batch_size=batch_size), dtype=np.float32)}

    if model.kind == "static":
        return compute(Path())["vectors"]
    key = {"model": model.name, "revision": model.revision, "texts": content_hash(list(texts))}
    return cached_arrays("embeddings", key, compute)[0]["vectors"]


def nearest(vectors: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Find the k nearest neighbours of each row among the others, by cosine.

    Cosines are computed in blocks, so that memory grows with the number of rows and not with its square. The choice
    among equal cosines is arbitrary; a row of zeros has cosine 0 to all others.

    Args:
        vectors: float32 array of shape (rows, dims).
        k: number of neighbours, below the number of rows.

    Returns:
        int64 array of shape (rows, k), unordered.
    """
    unit = unit_rows(vectors)
    neighbours = np.empty((len(unit), k), np.int64)
    size = max(1, _BLOCK // len(unit))
    for start in range(0, len(unit), size):
        cosines = unit[start : start + size] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        neighbours[start : start + size] = np.argpartition(cosines, -k, axis=1)[:, -k:]
    return neighbours


def neighbour_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Return the share of neighbours that two models have in common, mean over texts.

    Args:
        one, other: int arrays of shape (texts, k), as `nearest` gives them.
    """
    shared = (one[:, :, None] == other[:, None, :]).sum(axis=(1, 2))
    return float(shared.mean() / one.shape[1])


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Compute linear centered kernel alignment of two embeddings of the same texts, 0 to 1.

    ||Y'X||² / (||X'X|| ||Y'Y||) in Frobenius norms, X and Y with centered columns (Kornblith, Norouzi, Lee and Hinton,
    *Similarity of Neural Network Representations Revisited*, 2019, sec. 3). It is invariant to rotation and scale, and
    compares spaces of different dimensions. Rows are normalised first, as models are compared by cosine.

    Args:
        one, other: float arrays of shape (texts, dims).

    Returns:
        The alignment; NaN when one of them gives all texts the same embedding.
    """
    x, y = (unit_rows(vectors).astype(np.float64) for vectors in (one, other))
    x -= x.mean(axis=0)
    y -= y.mean(axis=0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else float("nan")


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Divide rows by their L2 norm, float32; rows of zeros stay zero."""
    return (vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)).astype(np.float32)


def fidelity_grid(measured: Sequence[Fidelity], records: Sequence[RunRecord]) -> Grid:
    """Show a row per model and teacher.

    Args:
        measured: the fidelity of the models, on the same texts.
        records: of the runs that scored them.
    """
    table, labels = _scores(records)
    columns = [AVERAGE, *(name for name in table.columns if name != AVERAGE)]
    rows = []
    for row in measured:
        label = labels[row.model, row.revision]
        points = [table.cells[label, column].text for column in columns]
        rows.append([label, row.teacher, f"{100 * row.neighbour_overlap:.1f}", f"{row.linear_cka:.3f}", *points])
    texts, k = measured[0].texts, measured[0].neighbours
    overlap = f"Overlap@{k}"
    drawn = f", drawn of {texts['n_all']:,} with seed {texts['seed']}" if texts["texts"] < texts["n_all"] else ""
    notes = [
        f"{overlap}: % of a text's {k} nearest texts by the teacher (cosine) that are also nearest by the model, mean "
        "over texts; CKA: linear centered kernel alignment of unit rows (Kornblith et al., 2019)",
        f"{texts['texts']:,} distinct texts of {texts['label']}{drawn}",
        *(f"{row.label} embeds {row.zero_vectors} of the texts as zeros" for row in measured if row.zero_vectors),
        *_correlations(measured, table, labels),
        merged(record.signature for record in records),
    ]
    names = [header(column, table) for column in columns]
    return Grid(["Model", "Teacher", overlap, "CKA", *names], rows, title="fidelity to the teacher", notes=notes)


def _scores(records: Sequence[RunRecord]) -> tuple[ScoreTable, dict[tuple[str, str], str]]:
    """Return the table of all runs, and the labels of its models by name and revision."""
    rows = pd.concat([record_rows(record).assign(teacher=None) for record in records])
    rows = rows.drop_duplicates(["model", "revision", "task"])
    identities = list(zip(rows["label"], rows["revision"], strict=True))
    named = unique_labels({(label, revision): (label, revision[:6]) for label, revision in identities})
    rows["label"] = [named[identity] for identity in identities]
    labels = {(row.model, row.revision): row.label for row in rows.itertuples()}
    return score_table(rows, records[0].aggregation), labels


def _correlations(measured: Sequence[Fidelity], table: ScoreTable, labels: Mapping[tuple[str, str], str]) -> list[str]:
    """Return a line per teacher: the correlation of its students' fidelity with their average score."""
    notes = []
    for teacher_label in dict.fromkeys(row.teacher for row in measured):
        students = [row for row in measured if row.teacher == teacher_label and row.student]
        scores = [table.cells[labels[row.model, row.revision], AVERAGE].value for row in students]
        if len(students) < _FEW or np.ptp(scores) == 0:
            continue
        overlap = spearmanr(scores, [row.neighbour_overlap for row in students]).statistic
        cka = spearmanr(scores, [row.linear_cka for row in students]).statistic
        notes.append(
            f"Spearman's correlation with the average over {len(students)} students of {teacher_label}: "
            f"{overlap:+.2f} (overlap), {cka:+.2f} (CKA)"
        )
    return notes
