"""Import optional packages, and say how to install those that are missing."""

import importlib
import re
from types import ModuleType

from m2v_bench.errors import BenchError
from m2v_bench.system.version import INSTALL_FROM

# extra -> packages to install; must match pyproject.toml
EXTRAS = {
    "bm25": ("bm25s", "PyStemmer"),
    "bpemb": ("sentencepiece",),
    "optuna": ("optuna",),
    "peers": ("model2vec",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "wandb": ("wandb",),
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


# of modules whose package has another name, or is installed with another one
_PACKAGES = {
    "hydra": "hydra-core",
    "joblib": "scikit-learn",
    "markupsafe": "jinja2",
    "pyarrow": "datasets",
    "pytrec_eval": "pytrec-eval-terrier",
    "sklearn": "scikit-learn",
    "vl_convert": "vl-convert-python",
}
_ORDER = ("distill", "bench")  # the smaller one first


def missing_extra(error: ImportError) -> str | None:
    """Say how to install the package that an import lacks; None where it belongs to none of our extras."""
    from importlib.metadata import PackageNotFoundError, requires  # takes a tenth of the time to import a model

    module = error.name or ""  # with a dot, the package is there and lacks a part
    package = _PACKAGES.get(module, module.replace("_", "-"))
    try:
        known = requires("m2v-bench") or []
    except PackageNotFoundError:  # run from a folder that was never installed
        return None
    for extra in _ORDER:
        for requirement in known:
            name = re.match(r"[A-Za-z0-9._-]+", requirement)
            if name and name[0] == package and re.search(rf"extra == ['\"]{extra}['\"]", requirement):
                return f"the package {package} is not installed; {install_command(extra)}"
    return None


def install_command(extra: str) -> str:
    """Return how to install an extra."""
    where = ", in the checkout" if INSTALL_FROM == "." else ""
    return f"install it with `pip install '{INSTALL_FROM}[{extra}]'`{where}"
