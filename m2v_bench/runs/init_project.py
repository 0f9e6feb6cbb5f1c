"""Write an example project: data, a weighting and a sweep of the user's own (`m2v-bench init`)."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from m2v_bench.errors import BenchError

_CODE = ".txt"  # behind the names of Python files, which are not modules of this package


def init_project(folder: Path) -> list[Path]:
    """Write the files of an example project.

    Args:
        folder: created if missing.

    Returns:
        The written files.

    Raises:
        BenchError: when the folder holds files, or cannot be written.
    """
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise BenchError(f"{folder}: holds files; name a new folder")
    try:
        return sorted(_copy(files("m2v_bench.runs") / "project", folder))
    except OSError as error:
        raise BenchError(f"{folder}: cannot be written ({error.strerror})") from error


def _copy(source: Traversable, target: Path) -> list[Path]:
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for item in source.iterdir():
        if item.is_dir():
            written += _copy(item, target / item.name)
        else:
            path = target / item.name.removesuffix(_CODE)
            path.write_bytes(item.read_bytes())
            written.append(path)
    return written
