"""Measure the data to fit and to check the cost model of a sweep.

All times are seconds of processor time on one thread, like a worker of a sweep, to be independent of other programs.
"""

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.launchers import start, working_folder
from benchmarks.scale.corpora import corpora
from benchmarks.scale.scores import BASES, embeddings, printed, processor_seconds, score_times
from m2v_bench.assets.fetch import fetch
from m2v_bench.cache import content_hash
from m2v_bench.distillation.distill import run_recipe, vocabulary_of
from m2v_bench.distillation.distill_config import DistillConfig
from m2v_bench.distillation.recipe import Recipe, make_recipe
from m2v_bench.distillation.token_vectors import passes, token_vectors
from m2v_bench.speed.suite_speed import hardware
from m2v_bench.system.environment import versions
from m2v_bench.system.threads import one_thread
from tests.conftest import TEST_DATA

WORDS = (1_000, 4_000, 16_000)


# the sweep to predict: its tasks, vocabulary and sizes are not among the measurements
CHECK_BASE, CHECK_WORDS = "paraphrase-MiniLM-L3-v2", 10_000
CHECK_DIMS, CHECK_WEIGHTINGS = (64, 128), ("none", "sif")
CHECK_TASKS = ("STS15", "STSBenchmark", "SciFact")
CHECK = ["-m", f"base_model={CHECK_BASE}", "vocabulary=glove", f"vocabulary_size={CHECK_WORDS}", "baseline=[teacher]"]
CHECK += [f"pca_dims={','.join(map(str, CHECK_DIMS))}", f"weighting={','.join(CHECK_WEIGHTINGS)}", "tracking=none"]
CHECK += ["suite=custom", f"suite.tasks=[{','.join(CHECK_TASKS)}]", f"hub_dir={TEST_DATA / 'hub'}"]

# the large sweep: two base models, five vocabularies, ten PCA sizes, ten weightings
GRID_BASES = BASES[:2]
GRID_VOCABULARIES: dict[str, dict[str, Any]] = {
    "model": {},
    "glove, 50,000 words": {"vocabulary": "glove", "vocabulary_size": 50_000},
    "glove, all words": {"vocabulary": "glove"},
    "glove_subword, 50,000 words": {"vocabulary": "glove_subword", "vocabulary_size": 50_000},
    "glove_subword, all words": {"vocabulary": "glove_subword"},
}
GRID_VARIANTS = 100  # per base model and vocabulary

ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}


@contextmanager
def empty_cache() -> Iterator[None]:
    """Use a temporary cache that shares only the assets."""
    before = os.environ.get("M2V_BENCH_CACHE")
    with tempfile.TemporaryDirectory() as scratch:
        working_folder(Path(scratch) / "home")
        os.environ["M2V_BENCH_CACHE"] = str(Path(scratch) / "home" / "cache")
        try:
            yield
        finally:
            os.environ.pop("M2V_BENCH_CACHE")
            if before is not None:
                os.environ["M2V_BENCH_CACHE"] = before


def forward(base: str, words: int) -> dict[str, Any]:
    """Measure a forward pass, the decomposition after it, and a further variant."""
    recipe = make_recipe(base, DistillConfig(vocabulary="glove", vocabulary_size=words))
    vocabulary = vocabulary_of(recipe)
    with empty_cache(), tempfile.TemporaryDirectory() as folder:
        seconds = processor_seconds(lambda: token_vectors(recipe, vocabulary, "cpu", False))
        rotated = processor_seconds(lambda: run_recipe(recipe, device="cpu", show_progress=False))
        other = recipe.with_settings(pca_dims=128)

        def further() -> None:
            run_recipe(other, device="cpu", show_progress=False).model.save_pretrained(folder)

        variant = processor_seconds(further, least=0.5)
    counts = {name: sum(part[name] for part in parts(recipe)) for name in ("tokens", "positions")}
    return {"base": base, **counts, "seconds": seconds, "rotation": rotated, "variant": variant}


def parts(recipe: Recipe) -> list[dict[str, Any]]:
    """Return the parts of a recipe's vocabulary that pass through its base model, with their cache keys."""
    return [
        {
            "key": content_hash(item.key),
            "tokens": len(item.part.sequences),
            "positions": sum(map(len, item.part.sequences)),
        }
        for item in passes(recipe, vocabulary_of(recipe), "cpu")
    ]


def run_sweep(overrides: Sequence[str], **environment: str) -> dict[str, float]:
    """Run a sweep in an empty working folder, and return wall seconds and processor seconds of all processes."""
    with tempfile.TemporaryDirectory() as scratch:
        home = working_folder(Path(scratch) / "home")
        begun, used = time.perf_counter(), _children()
        process = start(home, overrides, **environment)
        _, errors = process.communicate()
        if process.returncode:
            raise RuntimeError(errors)
        return {"wall": time.perf_counter() - begun, "processor": _children() - used}


def _children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def overhead() -> dict[str, float]:
    """Measure the start of a sweep and the overhead of a job, from sweeps of one and three jobs."""
    overrides = ["suite=custom", "suite.tasks=[SimLex999WordSim]", "baseline=[]", "tracking=none", "embeddings=input"]
    one, three = (
        run_sweep(["-m", f"pca_dims={dims}", *overrides], **ONE_THREAD)["processor"] for dims in ("64", "64,96,128")
    )
    job = (three - one) / 2
    return {"start": one - job, "job": job}


def passes_measured() -> list[dict[str, Any]]:
    """Measure forward passes of every base model at every vocabulary size."""
    forward(BASES[0], 400)  # warm up: shared imports
    return [printed(forward(base, words)) for base in BASES for words in WORDS]


STAGES: dict[str, Callable[[], Any]] = {
    "hardware": hardware,
    "versions": versions,
    "forward": passes_measured,
    "embedding": embeddings,
    "evaluation": score_times,
    "corpora": corpora,
    "grid": lambda: {
        name: parts(make_recipe(BASES[0], DistillConfig(**settings))) for name, settings in GRID_VOCABULARIES.items()
    },
    "check_parts": lambda: parts(
        make_recipe(CHECK_BASE, DistillConfig(vocabulary="glove", vocabulary_size=CHECK_WORDS))
    ),
    "overhead": lambda: printed(overhead()),
    "local": lambda: printed(run_sweep([*CHECK, "launcher=local"], **ONE_THREAD)),
    "joblib": lambda: printed(run_sweep([*CHECK, "launcher=joblib", "launcher.workers=2"])),
}


def measure(data: dict[str, Any], keep: Callable[[dict[str, Any]], None]) -> None:
    """Measure the stages that `data` lacks on one thread, and save after each stage."""
    fetch([*BASES, "glove-6b-50d", "autofj"])
    with one_thread():
        for name, stage in STAGES.items():
            if name not in data:
                data[name] = stage()
                keep(data)
