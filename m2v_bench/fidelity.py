"""`m2v-bench fidelity`: how much of its teacher's geometry each model of a run or sweep keeps, on real sentences."""

import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf
from tqdm.auto import tqdm

from m2v_bench.analysis.fidelity import FOLDER, fidelity_grid
from m2v_bench.analysis.grid import Grid
from m2v_bench.analysis.sweeps import Record, sweep_folder, sweep_records
from m2v_bench.baselines import Model, load_baselines
from m2v_bench.baselines.sentence_transformer import teacher
from m2v_bench.baselines.static import distilled
from m2v_bench.cache import content_hash, write_json
from m2v_bench.config import typed
from m2v_bench.distillation.base import find_base
from m2v_bench.distillation.corpus import Corpus
from m2v_bench.distillation.vectors import pick_device
from m2v_bench.environment import versions
from m2v_bench.errors import BenchError, check_seed
from m2v_bench.evaluation.fidelity import NEIGHBOURS, VERSION, embeddings, linear_cka, nearest, neighbour_overlap
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.jobs import read_record
from m2v_bench.schema import Config


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
    jobs = {folder: record for word in words for folder, record in _jobs(word, results_dir)}
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


def _jobs(word: str, results_dir: Path) -> Iterator[tuple[Path, Record]]:
    record = read_record(Path(word))
    if record is not None:
        yield Path(word), record
    else:
        yield from sweep_records(sweep_folder(word, results_dir)).items()


def _of_run(
    folder: Path,
    record: Record,
    texts: Texts,
    results_dir: Path,
    teachers: dict[str, tuple[np.ndarray, np.ndarray]],
) -> list[dict[str, Any]]:
    settings = _settings(folder)
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


def _settings(folder: Path) -> Config:
    config = OmegaConf.merge(OmegaConf.structured(Config), OmegaConf.load(folder / "config.yaml"))
    return typed(config)  # type: ignore[arg-type]


def _student(folder: Path, record: Record) -> Model:
    model = StaticModel.from_pretrained(folder / "model")
    fields = {name: record[name] for name in ("name", "revision", "label", "variant")}
    return distilled(model, folder / "model", **fields)


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
