"""Import optional packages."""

import importlib
from types import ModuleType

from m2v_bench.errors import BenchError

# extra -> packages to install; must match pyproject.toml
EXTRAS = {
    "bm25": ("bm25s", "PyStemmer"),
    "bpemb": ("sentencepiece",),
    "optuna": ("optuna",),
    "peers": ("model2vec",),
    "ray": ("ray",),
    "slurm": ("submitit",),
}


def require(module: str, *, extra: str, setting: str, instead: str) -> ModuleType:
    """Import an optional package.

    Args:
        module: name of the module.
        extra: its key in `EXTRAS`.
        setting: the setting that needs it, e.g. `launcher=ray`.
        instead: the alternative without it, for the message.

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
    """Return the arguments `setting` and `instead` of `require` for a baseline."""
    return {"setting": f"baselines.{key}.kind={kind}", "instead": f"leave {key} out of baseline=[...]"}
