"""Print the plan of a run or sweep for `dry_run=true`: work to do, cached work, and estimates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from m2v_bench.assets.fetch import no_downloads
from m2v_bench.cache import cache_dir, content_hash, costs
from m2v_bench.config.check import check
from m2v_bench.config.schema import Config
from m2v_bench.distillation.distill import vocabulary_of
from m2v_bench.distillation.recipe import Recipe
from m2v_bench.distillation.token_vectors import STAGE, passes, pick_device
from m2v_bench.distillation.training.text_vectors import uncached
from m2v_bench.distillation.training.training_texts import read_sample
from m2v_bench.doctor.downloads import downloads, show_downloads, show_rough_time
from m2v_bench.doctor.machine_needs import free_bytes
from m2v_bench.doctor.model_needs import student_of
from m2v_bench.doctor.timing import ROUGH, Records, forecast
from m2v_bench.models import Model, distinct
from m2v_bench.reports.grid import Grid
from m2v_bench.results.jobs import Job
from m2v_bench.results.record import RECORD, read_record
from m2v_bench.runs.prepare import Prepared, prepare
from m2v_bench.system.formatting import duration, human_bytes

_FLOAT32 = 4
_DTYPE_BYTES = {"float32": 4, "float16": 2, "int8": 1}


@dataclass
class _Totals:
    """Totals over the jobs so far, with shared work counted once.

    Attributes:
        parts: hashes of the forward passes and of shards of texts.
        scores: (task, model) pairs to score.
        tokens: tokens to pass through base models.
        texts: texts to embed with them, for training.
        seconds: estimated time, from recorded timings or roughly.
        rough: seconds of the rough estimates.
        unknown: number of scores and passes whose time cannot be estimated.
        disk: bytes that caches and models will take.
    """

    parts: set[str] = field(default_factory=set)
    scores: set[tuple[str, str]] = field(default_factory=set)
    tokens: int = 0
    texts: int = 0
    seconds: float = 0.0
    rough: float = 0.0
    unknown: int = 0
    disk: int = 0


def show_plan(jobs: Mapping[str, Job], name: str) -> None:
    """Print what has to be downloaded, a row per job and the totals; nothing is computed or downloaded.

    While assets or models are not here, only the downloads and a rough time are printed, and settings that depend on
    them are not checked.

    Args:
        jobs: the jobs, by the overrides that distinguish them.
        name: name of the sweep or run.

    Raises:
        BenchError: if a job cannot be run with its settings, as far as they can be checked.
    """
    runs = [check(job.config) for job in jobs.values()]
    if needed := downloads(runs):
        show_downloads(needed)
    if not all(item.is_dataset for item in needed):
        show_rough_time(runs, needed)
        return
    rates = _rates()
    totals, rows, n_finished, results_dir = _Totals(), [], 0, Path("results")
    for (overrides, job), settings in zip(jobs.items(), runs, strict=True):
        results_dir = Path(settings.results_dir)
        with no_downloads():
            prepared = prepare(settings)
        if job.finished() and not settings.rerun:
            n_finished += 1
            rows.append([overrides, prepared.recipe.label, "finished", "", "", ""])
            continue
        rows.append([overrides, prepared.recipe.label, *_row(prepared, settings, totals, rates)])
    rest = _overhead(results_dir)
    n_open = len(jobs) - n_finished
    totals.seconds += (rest or 0) * n_open
    columns = ["Job", "Model", "Forward pass", "Scored", "To score", "Time"]
    unknown = f"; no estimate for {totals.unknown} scores or passes (?)" if totals.unknown else ""
    guessed = f", of which {duration(totals.rough)} is {ROUGH}, on two cores" if totals.rough else ""
    loading = "" if rest is None else f", including {rest:.0f} s per job for loading, distilling and speed"
    cache = cache_dir()
    disk, free = human_bytes(totals.disk), human_bytes(free_bytes(cache))
    notes = [
        f"{len(jobs)} jobs, {n_finished} finished; {totals.tokens:,} tokens to pass through base models, "
        f"{f'{totals.texts:,} texts to embed with teachers, ' if totals.texts else ''}"
        f"{len(totals.scores)} scores to compute; work shared by jobs is counted for the first job",
        f"time: {_time(totals.seconds, totals.unknown)}{loading if totals.seconds else ''}{guessed}{unknown}",
        f"disk: about {disk} for cache and models, {free} free in {cache}",
    ]
    Grid(columns, rows, title=f"plan of {name}", notes=notes).show()


def _row(prepared: Prepared, settings: Config, totals: _Totals, rates: Mapping[str, float]) -> list[str]:
    """Return a job's cells for passes, scores and time, and add its new work to `totals`."""
    recipe = prepared.recipe
    vocabulary = vocabulary_of(recipe)
    states, seconds, unknown = [], 0.0, 0
    for forward in passes(recipe, vocabulary, pick_device(settings.device)):
        if forward.is_empty:
            continue
        n_tokens, key = len(forward.part.sequences), content_hash(forward.key)
        if forward.is_cached or key in totals.parts:
            states.append("cached" if forward.is_cached else "shared")
            continue
        totals.parts.add(key)
        totals.disk += 2 * n_tokens * recipe.base.hidden_size * _FLOAT32  # vectors and their PCA rotation
        if recipe.config.embeddings == "input":  # a lookup, which takes no time
            states.append("none")
            continue
        totals.tokens += n_tokens
        states.append(f"{n_tokens:,} tokens")
        rate = rates.get(forward.key["weights"])
        seconds, unknown = (seconds, unknown + 1) if rate is None else (seconds + n_tokens * rate, unknown)
    if recipe.config.training:
        states.append(_training(recipe, totals))
        unknown += 1  # how long training takes is not recorded
    dims = recipe.config.pca_dims if isinstance(recipe.config.pca_dims, int) else recipe.base.hidden_size
    totals.disk += len(vocabulary.tokens) * dims * _DTYPE_BYTES[recipe.config.quantize_to]
    n_done, n_open, more, untimed = _scores(prepared, settings, totals)
    seconds, unknown = seconds + more, unknown + untimed
    totals.seconds, totals.unknown = totals.seconds + seconds, totals.unknown + unknown
    return [" + ".join(dict.fromkeys(states)), str(n_done), str(n_open), _time(seconds, unknown)]


def _training(recipe: Recipe, totals: _Totals) -> str:
    """Say how many texts the teacher has to embed for the training, and add them to `totals`."""
    training = recipe.config.training
    sample = read_sample(recipe.training_corpora, training.n_texts, show_progress=False)
    shards = uncached(recipe.base, sample.texts, training.target)
    n_texts = sum(n for key, n in shards.items() if key not in totals.parts)
    if not n_texts:
        return "texts shared" if shards else "texts cached"
    totals.parts.update(shards)
    totals.disk += n_texts * recipe.base.hidden_size * _FLOAT32
    totals.texts += n_texts
    return f"{n_texts:,} texts"


def _time(seconds: float, unknown: int) -> str:
    """Format a time, with `?` for work whose time is unknown."""
    known = [duration(seconds)] if seconds or not unknown else []
    return " + ".join([*known, *(["?"] if unknown else [])])


def _scores(prepared: Prepared, settings: Config, totals: _Totals) -> tuple[int, int, float, int]:
    """Return how many scores exist and are missing, the seconds to compute these, and how many have no estimate."""
    records = Records.read(Path(settings.results_dir))
    models = distinct([student_of(prepared.recipe), *prepared.baselines])
    n_done = n_open = unknown = 0
    seconds = 0.0
    for entry in prepared.suite:
        if entry.missing:
            continue
        new = [model for model in models if (entry.name, _identity(model)) not in totals.scores]
        for model in new:
            estimates, done = forecast(records, entry.task, [model], seed=settings.seed)
            n_done += done
            if estimates:
                totals.scores.add((entry.name, _identity(model)))
                n_open += 1
                estimate = estimates[0]
                seconds += estimate.seconds if estimate else 0
                unknown += estimate is None
                if estimate is not None and estimate.source == ROUGH:
                    totals.rough += estimate.seconds
    return n_done, n_open, seconds, unknown


def _identity(model: Model) -> str:
    return content_hash([model.name, model.revision, model.variant])


def _rates() -> dict[str, float]:
    """Return seconds per token of the cached forward passes, by revision of the base model's weights."""
    rates: dict[str, list[float]] = {}
    for key, rows, seconds in costs(STAGE):
        if key.get("embeddings") != "input" and rows:
            rates.setdefault(key["weights"], []).append(seconds / rows)
    return {weights: median(values) for weights, values in rates.items()}


def _overhead(results_dir: Path) -> float | None:
    """Return the median seconds that finished jobs spent outside forward pass and scoring."""

    def seconds() -> Iterator[float]:
        for path in [*results_dir.glob(f"runs/*/{RECORD}"), *results_dir.glob(f"sweeps/*/*/{RECORD}")]:
            spent = {} if (record := read_record(path.parent)) is None else record.seconds
            if {"prepare", "distil", "forward", "speed"} <= set(spent):
                yield spent["prepare"] + spent["distil"] - spent["forward"] + spent["speed"]

    values = list(seconds())
    return median(values) if values else None
