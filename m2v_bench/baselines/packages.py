import importlib
from types import ModuleType

from m2v_bench.errors import BenchError

# what pip is to install, by extra; the same as in pyproject.toml
EXTRAS = {"bm25": ("bm25s", "PyStemmer"), "bpemb": ("sentencepiece",)}


def require(module: str, *, extra: str, key: str, kind: str) -> ModuleType:
    """An optional package, imported.

    Raises:
        BenchError: with the pip command, when it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BenchError(
            f"baselines.{key}.kind={kind} needs the package {module} ({error}). Install it with\n"
            f"  pip install {' '.join(EXTRAS[extra])}\n"
            f"or install m2v-bench with its extra `{extra}`, or leave {key} out of baseline=[...]."
        ) from error
