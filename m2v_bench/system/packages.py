"""Packages that only some settings need."""

import importlib
from types import ModuleType

from m2v_bench.errors import BenchError

# what pip is to install, by extra; the same as in pyproject.toml
EXTRAS = {
    "bm25": ("bm25s", "PyStemmer"),
    "bpemb": ("sentencepiece",),
    "optuna": ("optuna",),
    "peers": ("model2vec",),
    "ray": ("ray",),
    "slurm": ("submitit",),
}


def require(module: str, *, extra: str, setting: str, instead: str) -> ModuleType:
    """An optional package, imported.

    Args:
        module: its name.
        extra: which of `EXTRAS` it belongs to.
        setting: what asks for it, as `launcher=ray`.
        instead: what to do without it.

    Raises:
        BenchError: with the pip command, when it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BenchError(
            f"{setting} needs the package {module} ({error}). Install it with\n"
            f"  pip install {' '.join(EXTRAS[extra])}\n"
            f"or install m2v-bench with its extra `{extra}`, or {instead}."
        ) from error


def as_baseline(key: str, kind: str) -> dict[str, str]:
    """What `require` says of the package of a baseline."""
    return {"setting": f"baselines.{key}.kind={kind}", "instead": f"leave {key} out of baseline=[...]"}
