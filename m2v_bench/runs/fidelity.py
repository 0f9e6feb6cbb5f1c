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

# Below the results; a record per model and set of texts.
FOLDER = "fidelity"

_FEW = 5  # students that a correlation is not worth telling of
NEIGHBOURS = 10
# Raise it when the code below gives other numbers for the same texts and models.
VERSION = 1
_BLOCK = 1 << 24  # cosines held at a time


@dataclass(frozen=True)
class Texts:
    """The texts that models are compared on, each one once, and what to call them."""

    label: str
    revision: str
    texts: list[str]
    n_all: int
    seed: int


def fidelity(
    words: Sequence[str], results_dir: Path, *, texts: str, column: str = "text", most: int = 20_000, seed: int = 42
) -> Grid:
    """Compare every student and baseline of runs with its teacher, and show that beside the scores on tasks.

    What was measured before is read back from results_dir/fidelity.

    Args:
        words: runs or sweeps, by their folders; sweeps also by name.
        results_dir: folder of results, where the records go.
        texts: a file or dataset, as `Corpus` reads it.
        column: the column of the texts.
        most: how many distinct texts to take; where there are more they are drawn.
        seed: seed of that draw.

    Raises:
        BenchError: for what is no run, for one whose model is not there, and for too few texts.
    """
    check_seed(seed)
    jobs = _jobs(words, results_dir)
    drawn = read_texts(texts, column, most=most, seed=seed)
    found: list[dict[str, Any]] = []
    teachers: dict[str, tuple[np.ndarray, np.ndarray]] = {}  # their embeddings and neighbours, by revision
    for folder, record in tqdm(jobs.items(), desc="comparing with teachers", unit="run", disable=None):
        found += _of_run(folder, record, drawn, results_dir, teachers)
    unique = {(each["model"], each["revision"], each["teacher"]): each for each in found}
    students_first = sorted(unique.values(), key=lambda each: not each["student"])
    return fidelity_grid(students_first, list(jobs.values()))


def read_texts(name: str, column: str = "text", *, most: int, seed: int) -> Texts:
    """The distinct texts of a file or dataset, `most` of them.

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
) -> list[dict[str, Any]]:
    settings = read_config(folder)
    base = find_base(settings.base_model.name, revision=settings.base_model.revision)
    reference = teacher(base)
    others = [each for each in load_baselines(settings.baselines, base) if each.kind != "lexical"]
    models = [_student(folder, record), *(each for each in others if each.name != reference.name)]
    paths = {each.label: _path(results_dir, each, reference, texts) for each in models}
    known = {each.label: _read(paths[each.label]) for each in models}
    todo = [each for each in models if known[each.label] is None]
    if todo:
        embed = functools.partial(
            embeddings, texts=texts.texts, device=pick_device(settings.device), batch_size=settings.batch_size
        )
        if reference.revision not in teachers:
            vectors = embed(reference)
            teachers[reference.revision] = vectors, nearest(vectors)
        expected, neighbours = teachers[reference.revision]
        for model in todo:
            own = embed(model)
            known[model.label] = {
                "model": model.name,
                "revision": model.revision,
                "label": model.label,
                "kind": model.kind,
                "student": model is models[0],
                "teacher": reference.label,
                "teacher_revision": reference.revision,
                "neighbour_overlap": neighbour_overlap(neighbours, nearest(own)),
                "neighbours": NEIGHBOURS,
                "linear_cka": linear_cka(expected, own),
                "zero_vectors": int(np.sum(~own.any(axis=1))),
                "texts": {**asdict(texts), "texts": len(texts.texts)},
                "versions": versions(),
            }
            write_json(paths[model.label], known[model.label])
    return [each for each in known.values() if each is not None]


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
    """The texts' embeddings: float32 array of shape (texts, dims); those of a transformer are kept in the cache."""

    def compute(_: Path) -> dict[str, np.ndarray]:
        return {"vectors": np.asarray(model.load(device).encode(texts, batch_size=batch_size), dtype=np.float32)}

    if model.kind == "static":
        return compute(Path())["vectors"]
    key = {"model": model.name, "revision": model.revision, "texts": content_hash(list(texts))}
    return cached_arrays("embeddings", key, compute)[0]["vectors"]


def nearest(vectors: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The k nearest neighbours of each row among the others, by cosine.

    The cosines are made block by block, so that memory grows with the number of rows and not with its square. Of
    equal cosines it is not said which count; a row of zeros has the cosine 0 to all.

    Args:
        vectors: float32 array of shape (rows, dims).
        k: how many, below the number of rows.

    Returns:
        int64 array of shape (rows, k), in no order.
    """
    unit = unit_rows(vectors)
    found = np.empty((len(unit), k), np.int64)
    size = max(1, _BLOCK // len(unit))
    for start in range(0, len(unit), size):
        cosines = unit[start : start + size] @ unit.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -np.inf
        found[start : start + size] = np.argpartition(cosines, -k, axis=1)[:, -k:]
    return found


def neighbour_overlap(one: np.ndarray, other: np.ndarray) -> float:
    """The share of neighbours that two models have in common, mean over texts.

    Args:
        one, other: int arrays of shape (texts, k), as `nearest` gives them.
    """
    shared = (one[:, :, None] == other[:, None, :]).sum(axis=(1, 2))
    return float(shared.mean() / one.shape[1])


def linear_cka(one: np.ndarray, other: np.ndarray) -> float:
    """Linear centered kernel alignment of two embeddings of the same texts, 0 to 1.

    ||Y'X||² / (||X'X|| ||Y'Y||) in Frobenius norms, X and Y with centered columns (Kornblith, Norouzi, Lee and Hinton,
    *Similarity of Neural Network Representations Revisited*, 2019, sec. 3). It does not change with a rotation or with
    the scale, and compares spaces of different dimensions. Rows are divided by their norm first, as models are
    compared by cosine.

    Args:
        one, other: float arrays of shape (texts, dims).

    Returns:
        The alignment; NaN when one of them embeds all texts alike.
    """
    x, y = (unit_rows(vectors).astype(np.float64) for vectors in (one, other))
    x -= x.mean(axis=0)
    y -= y.mean(axis=0)
    scale = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(y.T @ x) ** 2 / scale) if scale > 0 else float("nan")


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Rows divided by their L2 norm, float32; a row of zeros stays one."""
    return (vectors / (np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-32)).astype(np.float32)


def fidelity_grid(found: Sequence[Mapping[str, Any]], records: Sequence[RunRecord]) -> Grid:
    """A row per model and teacher.

    Args:
        found: what was measured of each.
        records: of the runs that scored them.
    """
    table, labels = _scores(records)
    columns = [AVERAGE, *(name for name in table.columns if name != AVERAGE)]
    rows = []
    for each in found:
        label = labels[each["model"], each["revision"]]
        points = [table.cells[label, column].text for column in columns]
        fit = [f"{100 * each['neighbour_overlap']:.1f}", f"{each['linear_cka']:.3f}"]
        rows.append([label, each["teacher"], *fit, *points])
    texts = found[0]["texts"]
    overlap = f"Overlap@{found[0]['neighbours']}"
    zeros = {each["label"]: each["zero_vectors"] for each in found if each["zero_vectors"]}
    drawn = f", drawn of {texts['n_all']:,} with seed {texts['seed']}" if texts["texts"] < texts["n_all"] else ""
    notes = [
        f"{overlap}: % of a text's {found[0]['neighbours']} nearest by the teacher (cosine) that are so by the model, "
        "mean over texts; CKA: linear centered kernel alignment of unit rows (Kornblith et al., 2019)",
        f"{texts['texts']:,} distinct texts of {texts['label']}{drawn}",
        *(f"embeds {n} of the texts by zeros: {label}" for label, n in zeros.items()),
        *_correlations(found, table, labels),
        merged(record.signature for record in records),
    ]
    names = [header(column, table) for column in columns]
    return Grid(["Model", "Teacher", overlap, "CKA", *names], rows, title="fidelity to the teacher", notes=notes)


def _scores(records: Sequence[RunRecord]) -> tuple[ScoreTable, dict[tuple[str, str], str]]:
    """The table of all runs, and by name and revision the label that each model has in it."""
    rows = pd.concat([record_rows(record).assign(teacher=None) for record in records])
    rows = rows.drop_duplicates(["model", "revision", "task"])
    identities = list(zip(rows["label"], rows["revision"], strict=True))
    named = unique_labels({(label, revision): (label, revision[:6]) for label, revision in identities})
    rows["label"] = [named[identity] for identity in identities]
    labels = {(row.model, row.revision): row.label for row in rows.itertuples()}
    return score_table(rows, records[0].aggregation), labels


def _correlations(
    found: Sequence[Mapping[str, Any]], table: ScoreTable, labels: Mapping[tuple[str, str], str]
) -> list[str]:
    """Per teacher, whether more faithful students score higher."""
    notes = []
    for teacher_label in dict.fromkeys(each["teacher"] for each in found):
        own = [each for each in found if each["teacher"] == teacher_label and each["student"]]
        scores = [table.cells[labels[each["model"], each["revision"]], AVERAGE].value for each in own]
        if len(own) < _FEW or np.ptp(scores) == 0:
            continue
        told = [
            f"{spearmanr(scores, [each[name] for each in own]).statistic:+.2f} ({short})"
            for name, short in (("neighbour_overlap", "overlap"), ("linear_cka", "CKA"))
        ]
        notes.append(
            f"Spearman's correlation with the average over {len(own)} students of {teacher_label}: {', '.join(told)}"
        )
    return notes
