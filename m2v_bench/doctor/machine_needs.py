"""Disk space and memory of this machine and their need by a suite."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mteb.abstasks import AbsTask

from m2v_bench.doctor.task_statistics import counted, n_characters

# number of documents that mteb embeds and compares at once
CHUNK = 50_000


def free_bytes(folder: Path) -> int:
    """Return the free bytes on the disk that holds, or will hold, `folder`."""
    return shutil.disk_usage(_existing(folder)).free


def disk_of(folder: Path) -> int:
    """Return the device number of the disk that holds, or will hold, `folder`."""
    return _existing(folder).stat().st_dev


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


@dataclass(frozen=True)
class Peak:
    """Approximate peak memory of a split's data, in bytes, and its derivation."""

    task: str
    bytes: int
    how: str


def peak_memory(tasks: Sequence[AbsTask], dims: int) -> Peak | None:
    """Return the split that takes most memory by mteb's statistics; None if no task has statistics.

    Embeddings are float32. A corpus is embedded in chunks of `CHUNK`, each compared with all queries at once; texts of
    other task types, and of reranking, are embedded at once.
    """
    peaks = []
    for task in tasks:
        for split in counted(task):
            documents, queries = split.get("num_documents"), split.get("num_queries")
            if documents is None or queries is None or split.get("top_ranked_statistics"):
                texts = split["num_samples"]
                size, how = texts * dims * 4, f"{texts:,} texts x {dims} dimensions x 4 bytes"
            else:
                chunk = min(documents, CHUNK)
                size = (queries + chunk) * dims * 4 + queries * chunk * 4
                how = f"({queries:,} queries + {chunk:,} documents) x {dims} x 4 bytes + queries x documents x 4 bytes"
            peaks.append(Peak(task.metadata.name, size, how))
    return max(peaks, key=lambda peak: peak.bytes) if peaks else None


def arrow_bytes(tasks: Sequence[AbsTask]) -> int:
    """Estimate what `datasets` caches for these tasks: a byte per character."""
    return sum(n_characters(task) or 0 for task in tasks)
