"""Compare the embedding spaces of static models and their teachers on real texts."""

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
from m2v_bench.distillation.teacher import find_base
from m2v_bench.distillation.token_vectors import pick_device
from m2v_bench.errors import BenchError, check_seed
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.models import Model, load_baselines
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

# Subfolder of the results, with one record per model and set of texts.
FOLDER = "fidelity"

_MIN_STUDENTS = 5  # fewer give no meaningful correlation
NEIGHBOURS = 10
# Increase when a change below alters the numbers for the same texts and models.
VERSION = 1
_BLOCK = 1 << 24  # cosines in memory at once


@dataclass(frozen=True)
class Texts:
    """Distinct texts that models are compared on, with their label and revision."""

    label: str
    revision: str
    texts: list[str]
    n_all: int
    seed: int


def fidelity(
    runs: Sequence[str], results_dir: Path, *, texts: str, column: str = "text", most: int = 20_000, seed: int = 42
) -> Grid:
    """Compare students and baselines with their teachers, and return the table, with task scores alongside.

    Earlier measurements are read back from results_dir/fidelity.

    Args:
        runs: folders of runs or sweeps, or names of sweeps.
        results_dir: results folder; records are written there.
        texts: a file or dataset that `Corpus` can read.
        column: the text column.
        most: maximum number of distinct texts; if there are more, this many are sampled.
        seed: sampling seed.

    Raises:
        BenchError: if a run or its model does not exist, or there are too few texts.
    """
    check_seed(seed)
    jobs = _jobs(runs, results_dir)
    drawn = read_texts(texts, column, most=most, seed=seed)
    comparisons: list[dict[str, Any]] = []
    teachers: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # embeddings and neighbours by revision
    for folder, record in tqdm(jobs.items(), desc="comparing with teachers", unit="run", disable=None):
        comparisons += _compare_run(folder, record, drawn, results_dir, teachers)
    unique = {(row["model"], row["revision"], row["teacher"]): row for row in comparisons}
    students_first = sorted(unique.values(), key=lambda row: not row["student"])
    return fidelity_grid(students_first, list(jobs.values()))


def read_texts(name: str, column: str = "text", *, most: int, seed: int) -> Texts:
    """Return the distinct texts of a file or dataset, sampled if there are more than `most`.

    Raises:
        BenchError: if there are too few texts for the number of neighbours.
    """
    if most <= NEIGHBOURS:
        raise BenchError(f"--most {most}: must be above {NEIGHBOURS}, the number of neighbours that are compared")
    corpus = Corpus(name, column, settings=("--texts ", "--column "))
    distinct = list(dict.fromkeys(text for batch in corpus.batches() for text in batch))
    if len(distinct) <= NEIGHBOURS:
        raise BenchError(f"--texts {name}: holds {len(distinct)} distinct texts; more than {NEIGHBOURS} are needed")
    chosen = distinct
    if len(distinct) > most:
        chosen = [distinct[i] for i in sorted(np.random.default_rng(seed).choice(len(distinct), most, replace=False))]
    return Texts(corpus.label, corpus.revision, chosen, len(distinct), seed)


def _jobs(runs: Sequence[str], results_dir: Path) -> dict[Path, RunRecord]:
    """Read the records of runs and sweeps, keyed by job folder."""
    jobs: dict[Path, RunRecord] = {}
    for run in runs:
        experiment = find_experiment(run, results_dir)
        jobs |= {job.folder: record for job, record in zip(experiment.jobs, experiment.all_records(), strict=True)}
    return jobs


def _compare_run(
    folder: Path,
    record: RunRecord,
    texts: Texts,
    results_dir: Path,
    teachers: dict[str, tuple[np.ndarray, np.ndarray]],
) -> list[dict[str, Any]]:
    settings = read_config(folder)
    base = find_base(settings.base_model.name, revision=settings.base_model.revision)
    reference = teacher(base)
    baselines = [model for model in load_baselines(settings.baselines, base) if model.kind != "lexical"]
    models = [_student(folder, record), *(model for model in baselines if model.name != reference.name)]
    paths = {model.label: _path(results_dir, model, reference, texts) for model in models}
    comparisons = {model.label: _read(paths[model.label]) for model in models}
    todo = [model for model in models if comparisons[model.label] is None]
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
            comparisons[model.label] = {
                "model": model.name,
                "revision": model.revision,
                "label": model.label,
                "kind": model.kind,
                "student": model is models[0],
                "teacher": reference.label,
                "teacher_revision": reference.revision,
                "neighbour_overlap": neighbour_overlap(neighbours, nearest(vectors)),
                "neighbours": NEIGHBOURS,
                "linear_cka": linear_cka(expected, vectors),
                "zero_vectors": int(np.sum(~vectors.any(axis=1))),
                "texts": {**asdict(texts), "texts": len(texts.texts)},
                "versions": versions(),
            }
            write_json(paths[model.label], comparisons[model.label])
    return [comparison for comparison in comparisons.values() if comparison is not None]


def _student(folder: Path, record: RunRecord) -> Model:
    model = StaticModel.from_pretrained(folder / "model")
    return distilled(
        model,
        folder / "model",
        name=record.name,
        revision=record.revision,
        label=record.label,
        variant=record.variant,
    )


def _path(results_dir: Path, model: Model, reference: Model, texts: Texts) -> Path:
    key = [VERSION, reference.name, reference.revision, texts.revision, len(texts.texts), texts.seed]
    folder = results_dir / FOLDER / model.name.replace("/", "__") / model.revision
    return folder / f"{reference.label}-{content_hash(key)[:8]}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return record


def embeddings(model: Model, texts: Sequence[str], *, device: str, batch_size: int) -> np.ndarray:
    """Embed texts as a float32 array of shape (texts, dims); embeddings of transformers are cached."""

    def compute(_: Path) -> dict[str, np.ndarray]:
        return {"vectors": np.asarray(model.load(device).encode(texts, batch_size=batch_size), dtype=np.float32)}

    if model.kind == "static":
        return compute(Path())["vectors"]
    key = {"model": model.name, "revision": model.revision, "texts": content_hash(list(texts))}
    return cached_arrays("embeddings", key, compute)[0]["vectors"]


def nearest(vectors: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """Return each row's k nearest other rows by cosine.

    Cosines are computed in blocks, so memory is linear in the number of rows. Ties are broken arbitrarily; a row of
    zeros has cosine 0 with every row.

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
    """Return the fraction of neighbours that two models share, averaged over texts.

    Args:
        one, other: int arrays of shape (texts, k) from `nearest`.
    """
    shared = (one[:, :, None] == other[:, None, :]).sum(axis=(1, 2))
    return float(shared.mean() / one.shape[1])


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Compute the linear centered kernel alignment (CKA) of two embeddings of the same texts, 0 to 1.

    ||Y'X||² / (||X'X|| ||Y'Y||) in Frobenius norms, X and Y with centered columns (Kornblith, Norouzi, Lee and Hinton,
    *Similarity of Neural Network Representations Revisited*, 2019, sec. 3). It is invariant to rotation and scale and
    compares spaces of different dimensions. Rows are L2-normalized first because models are compared by cosine.

    Args:
        one, other: float arrays of shape (texts, dims).

    Returns:
        The alignment; NaN if all embeddings of one model are equal.
    """
    x, y = (unit_rows(vectors).astype(np.float64) for vectors in (one, other))
    x -= x.mean(axis=0)
    y -= y.mean(axis=0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else float("nan")


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Divide each row by its L2 norm, as float32; rows of zeros stay zero."""
    return (vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)).astype(np.float32)


def fidelity_grid(comparisons: Sequence[Mapping[str, Any]], records: Sequence[RunRecord]) -> Grid:
    """Build the table with one row per model and teacher.

    Args:
        comparisons: one record per model and teacher.
        records: of the runs that scored the models.
    """
    table, labels = _scores(records)
    columns = [AVERAGE, *(name for name in table.columns if name != AVERAGE)]
    rows = []
    for comparison in comparisons:
        label = labels[comparison["model"], comparison["revision"]]
        points = [table.cells[label, column].text for column in columns]
        fit = [f"{100 * comparison['neighbour_overlap']:.1f}", f"{comparison['linear_cka']:.3f}"]
        rows.append([label, comparison["teacher"], *fit, *points])
    texts = comparisons[0]["texts"]
    overlap = f"Overlap@{comparisons[0]['neighbours']}"
    zeros = {row["label"]: row["zero_vectors"] for row in comparisons if row["zero_vectors"]}
    drawn = f", sampled from {texts['n_all']:,} with seed {texts['seed']}" if texts["texts"] < texts["n_all"] else ""
    notes = [
        f"{overlap}: % of a text's {comparisons[0]['neighbours']} nearest neighbours (cosine) that teacher and model "
        "share, mean over texts; CKA: linear centered kernel alignment of unit rows (Kornblith et al., 2019)",
        f"{texts['texts']:,} distinct texts of {texts['label']}{drawn}",
        *(f"embeds {n} of the texts as zeros: {label}" for label, n in zeros.items()),
        *_correlations(comparisons, table, labels),
        merged(record.signature for record in records),
    ]
    names = [header(column, table) for column in columns]
    return Grid(["Model", "Teacher", overlap, "CKA", *names], rows, title="fidelity to the teacher", notes=notes)


def _scores(records: Sequence[RunRecord]) -> tuple[ScoreTable, dict[tuple[str, str], str]]:
    """Return the table of all runs, and the label in it of each (name, revision)."""
    rows = pd.concat([record_rows(record).assign(teacher=None) for record in records])
    rows = rows.drop_duplicates(["model", "revision", "task"])
    identities = list(zip(rows["label"], rows["revision"], strict=True))
    named = unique_labels({(label, revision): (label, revision[:6]) for label, revision in identities})
    rows["label"] = [named[identity] for identity in identities]
    labels = {(row.model, row.revision): row.label for row in rows.itertuples()}
    return score_table(rows, records[0].aggregation), labels


def _correlations(
    comparisons: Sequence[Mapping[str, Any]], table: ScoreTable, labels: Mapping[tuple[str, str], str]
) -> list[str]:
    """Correlate fidelity and score of each teacher's students."""
    notes = []
    for teacher_label in dict.fromkeys(row["teacher"] for row in comparisons):
        students = [row for row in comparisons if row["teacher"] == teacher_label and row["student"]]
        scores = [table.cells[labels[row["model"], row["revision"]], AVERAGE].value for row in students]
        if len(students) < _MIN_STUDENTS or np.ptp(scores) == 0:
            continue
        correlations = [
            f"{spearmanr(scores, [row[name] for row in students]).statistic:+.2f} ({short})"
            for name, short in (("neighbour_overlap", "overlap"), ("linear_cka", "CKA"))
        ]
        notes.append(
            f"Spearman correlation with the average over {len(students)} students of {teacher_label}: "
            f"{', '.join(correlations)}"
        )
    return notes
