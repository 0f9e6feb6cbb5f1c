"""Content-addressed cache for derived artifacts, with atomic writes."""

import functools
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_dir

from m2v_bench.errors import BenchError


def cache_dir() -> Path:
    """Return the cache folder: `M2V_BENCH_CACHE`, or the platform's user cache."""
    return Path(os.environ.get("M2V_BENCH_CACHE") or user_cache_dir("m2v_bench")).expanduser()


def content_hash(value: Any) -> str:
    """Return sixteen hex digits of the SHA-256 of `value` as canonical JSON."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file as 64 hex digits; read once per process while size and time stay the same."""
    stat = path.stat()
    return _file_sha256(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4096)
def _file_sha256(path: Path, size: int, modified: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hash(folder: Path, *, suffixes: tuple[str, ...] | None = None) -> str:
    """Return sixteen hex digits that change with any name or byte below `folder`, except in hidden files.

    Args:
        folder: the folder to read.
        suffixes: read only files with these suffixes; None reads all.
    """
    files = _visible_files(folder, suffixes)
    return content_hash({path.relative_to(folder).as_posix(): file_sha256(path) for path in files})


def _visible_files(folder: Path, suffixes: tuple[str, ...] | None) -> list[Path]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name.endswith(suffixes or "")]
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def folder_bytes(folder: Path, *, suffixes: tuple[str, ...] | None = None) -> int:
    """Return the total size of the files below `folder`, selected as in `folder_hash`."""
    return sum(path.stat().st_size for path in _visible_files(folder, suffixes))


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty temporary folder that is renamed to `target` on success and removed on failure."""
    with cache_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        with cache_errors(target.parent):
            yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of `target`, so that one process does the work while others wait."""
    lock = FileLock(f"{target}.lock")
    with cache_errors(target.parent):
        target.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextmanager
def cache_errors(folder: Path) -> Iterator[None]:
    """Translate a failure to write to the cache folder into a message.

    Raises:
        BenchError: for an OSError of the block.
    """
    try:
        yield
    except OSError as error:
        raise BenchError(
            f"cannot write to the cache folder {folder}: {error.strerror or error}.\n"
            "Set M2V_BENCH_CACHE to a folder that can be written and has room."
        ) from error


def cached_arrays(
    stage: str, key: Mapping[str, Any], compute: Callable[[Path], dict[str, np.ndarray]]
) -> tuple[dict[str, np.ndarray], bool]:
    """Return the arrays of a stage from the cache, computing and storing them if needed.

    Args:
        stage: name of the stage, a folder in the cache.
        key: everything that changes the arrays, and nothing else (never a batch size or a device).
        compute: folder -> arrays by name. The folder is for intermediate results: kept after an interruption, removed
            on success.

    Returns:
        The arrays (memory-mapped, read-only) and whether they came from the cache.
    """
    folder = _folder(stage, key)
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    hit = folder.is_dir()
    if not hit:
        with locked(folder):
            hit = folder.is_dir()  # another process may have computed it meanwhile
            if not hit:
                started = time.perf_counter()
                arrays = compute(unfinished)
                seconds = time.perf_counter() - started
                with new_folder(folder) as new:
                    for name, array in arrays.items():
                        np.save(new / f"{name}.npy", array)
                    (new / "key.json").write_text(json.dumps(dict(key), indent=2, sort_keys=True), encoding="utf-8")
                    (new / "cost.json").write_text(json.dumps({"seconds": seconds}), encoding="utf-8")
                shutil.rmtree(unfinished, ignore_errors=True)
    return {path.stem: np.load(path, mmap_mode="r") for path in sorted(folder.glob("*.npy"))}, hit


def is_cached(stage: str, key: Mapping[str, Any]) -> bool:
    """Return whether the cache has the arrays of this key."""
    return _folder(stage, key).is_dir()


def costs(stage: str) -> Iterator[tuple[dict[str, Any], int, float]]:
    """Yield the key, the number of rows and the seconds of every cached result of a stage."""
    for folder in sorted((cache_dir() / stage).glob("*/")):
        try:
            key, cost = (json.loads((folder / name).read_text(encoding="utf-8")) for name in ("key.json", "cost.json"))
            array = np.load(next(folder.glob("*.npy")), mmap_mode="r")
        except (OSError, ValueError, StopIteration):
            continue
        yield key, len(array), cost["seconds"]


def _folder(stage: str, key: Mapping[str, Any]) -> Path:
    return cache_dir() / stage / content_hash(dict(key))


def save_array(path: Path, array: np.ndarray) -> None:
    """Write `array` as a .npy file, atomically.

    Raises:
        BenchError: when the disk is full or not writable.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with cache_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            with temporary.open("wb") as file:
                np.save(file, array)
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, np.ndarray], *, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file readable by everyone; safetensors' writer restricts it to the owner.

    An existing file is replaced, not overwritten, so that a model mapped from it stays intact.
    """
    from safetensors.numpy import save

    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(save(contiguous, metadata=metadata))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON, atomically."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file; readers see the whole file or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
