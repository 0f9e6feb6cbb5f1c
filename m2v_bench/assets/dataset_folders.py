"""Give `datasets` literal paths and a cache keyed by content for local dataset folders."""

import re
import shutil
from pathlib import Path

from m2v_bench.cache import cache_dir, content_hash, folder_hash, locked, new_folder
from m2v_bench.errors import BenchError, refuse_lfs_pointer

_PATTERN = re.compile(r"[][*?{}#%]|::|://")  # `datasets` and fsspec read these as patterns or parts of an address
_POINTER_BYTES = 1024  # a Git LFS pointer is never larger


def readable_folder(folder: Path, called: str) -> tuple[Path, Path]:
    """Return a path to the folder that `datasets` takes literally, and a cache folder for its Arrow files.

    Both depend on the folder's content: the cache of `datasets` is keyed by path only and would return stale rows.
    A path with pattern characters is replaced by a folder of links to the same files.

    Args:
        folder: a local dataset repository.
        called: name of the folder in error messages.

    Raises:
        BenchError: for a Git LFS pointer, and when neither the folder nor the cache has a plain path.
    """
    folder = folder.absolute()
    for path in folder.rglob("*"):
        if path.is_file() and path.stat().st_size < _POINTER_BYTES:
            refuse_lfs_pointer(path, called)
    content, cache = folder_hash(folder), cache_dir().absolute() / "datasets"
    if not _PATTERN.search(str(folder.resolve())):
        return folder, cache / content
    if _PATTERN.search(str(cache.resolve())):
        raise BenchError(
            f"{called}: `datasets` reads {folder} and the cache folder {cache_dir()} as patterns; set "
            "M2V_BENCH_CACHE to a folder without any of [ ] * ? { } # % in its path"
        )
    links = cache / "links" / content_hash([str(folder), content])
    if not links.is_dir():
        with locked(links):
            if not links.is_dir():
                with new_folder(links) as new:
                    _link(folder, new)
    return links, cache / content


def _link(folder: Path, new: Path) -> None:
    """Link every visible file of `folder` into `new`; copy where links are not allowed."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.startswith(".") for part in name.parts):
            link = new / name
            link.parent.mkdir(parents=True, exist_ok=True)
            try:
                link.symlink_to(path)
            except OSError:
                shutil.copyfile(path, link)
