"""Fixtures and helpers shared by the tests."""

import os
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from m2v_bench.assets.fetch import fetch
from m2v_bench.inference.static_model import StaticModel
from m2v_bench.models import Model
from m2v_bench.results.record import Score
from tests import processes

TEST_DATA = Path(os.environ.get("M2V_BENCH_TEST_DATA", Path(__file__).parents[2] / "shared")).resolve()
Cli = Callable[..., subprocess.CompletedProcess[str]]


# Files that take longest, the longest first: they get the marker `slow`, and run first so that workers end together.
SLOW = (
    "test_end_to_end.py",
    "runs/test_launchers.py",
    "tasks/test_every_task.py",
    "inference/test_fast.py",
    "tracking/test_tracking.py",
    "runs/test_sweep.py",
    "test_notebooks.py",
    "inference/test_fast_configurations.py",
    "doctor/test_doctor.py",
    "reports/test_page.py",
    "tasks/test_bundle.py",
    "tracking/test_wandb.py",
)


# Files that get the marker `fast`: some of every package, in less than a minute together.
FAST = (
    "config/test_renames.py",
    "distillation/test_pca.py",
    "distillation/test_weighting.py",
    "inference/test_onnx.py",
    "inference/test_output_precision.py",
    "inference/test_similarity.py",
    "inference/test_texts.py",
    "reports/test_daggers.py",
    "reports/test_document.py",
    "reports/test_grid.py",
    "reports/test_outcome.py",
    "reports/test_score_table.py",
    "results/test_record.py",
    "results/test_sample_files.py",
    "stats/test_aggregates.py",
    "stats/test_bootstrap.py",
    "system/test_packages.py",
    "test_cache.py",
    "test_containers.py",
    "test_errors.py",
    "test_layers.py",
)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `-m fast`, do not even import the other files."""
    if config.option.markexpr != "fast" or not collection_path.name.startswith("test_"):
        return None
    return collection_path.relative_to(Path(__file__).parent).as_posix() not in FAST or None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow and fast tests, and put the slow files first."""

    def place(item: pytest.Item) -> int:
        name = item.path.relative_to(Path(__file__).parent).as_posix()
        return SLOW.index(name) if name in SLOW else len(SLOW)

    for item in items:
        if place(item) < len(SLOW):
            item.add_marker(pytest.mark.slow)
        elif item.path.relative_to(Path(__file__).parent).as_posix() in FAST:
            item.add_marker(pytest.mark.fast)
    items.sort(key=place)


@pytest.fixture(scope="session")
def hub_dir() -> Path:
    """Return the folder of real MTEB dataset repositories."""
    if not (TEST_DATA / "hub").is_dir():
        pytest.skip(f"no real data at {TEST_DATA}/hub (set M2V_BENCH_TEST_DATA)")
    return TEST_DATA / "hub"


@pytest.fixture(scope="session")
def real_texts() -> list[str]:
    """Return 1,000 sentences of Wikipedia."""
    if not (TEST_DATA / "speed").is_dir():
        pytest.skip(f"no real texts at {TEST_DATA}/speed (set M2V_BENCH_TEST_DATA)")
    from tests.golden import cases

    return cases.real_texts()


@pytest.fixture(scope="session")
def teacher_folder() -> Path:
    """Return the folder of the real all-MiniLM-L6-v2."""
    return fetch(["all-MiniLM-L6-v2"])["all-MiniLM-L6-v2"]


@pytest.fixture(scope="session")
def teacher_scores(hub_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Score], Path]:
    """Compute real scores of the teacher once for all workers; return them and their results folder."""
    from benchmarks.parity import score_teacher

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "teacher"
    with FileLock(f"{shared}.lock"):  # whoever comes second reads the scores from their files
        return score_teacher(["STSBenchmark", "AmazonCounterfactualClassification"], shared), shared


@pytest.fixture
def bench(tmp_path: Path) -> Cli:
    """Return a function that runs `python -m m2v_bench` in an empty folder."""

    def run(*overrides: str, cwd: Path = tmp_path, **environment: str) -> subprocess.CompletedProcess[str]:
        return run_bench(*overrides, cwd=cwd, **environment)

    return run


def run_bench(*overrides: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return processes.run("m2v_bench", *overrides, cwd=cwd, **environment)


def tiny_static_model(
    words: Sequence[str] = ("good", "bad", "cat", "dog"), dims: int = 8, seed: int = 0
) -> StaticModel:
    """Make a static model of a few words with random vectors."""
    vocabulary = {token: row for row, token in enumerate(["[PAD]", "[UNK]", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    table = np.random.default_rng(seed).normal(size=(len(vocabulary), dims)).astype(np.float32)
    return StaticModel(table, tokenizer)


def as_model(static: StaticModel, label: str, **fields: object) -> Model:
    """Wrap a static model as a `Model`."""
    from m2v_bench.models.static import StaticEncoder

    defaults: dict[str, object] = {
        "name": f"test/{label}",
        "revision": label,
        "label": label,
        "kind": "static",
        "dims": static.dims,
        "n_parameters": static.n_parameters,
        "bytes_on_disk": 1,
        "load": lambda device: StaticEncoder(static),
    }
    return Model(**{**defaults, **fields})  # type: ignore[arg-type]


def glove() -> Model:
    """Load the GloVe vectors of the package registry as a `Model`."""
    from m2v_bench.config.schema import BaselineConfig
    from m2v_bench.models.word_vectors import vectors

    return vectors("glove", BaselineConfig(kind="vectors", name="glove-6b-50d", label="GloVe"))
