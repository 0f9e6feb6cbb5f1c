"""Manifest of a bundle of dataset repositories: `manifest.json` beside their folders."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mteb.abstasks import AbsTask
from mteb.abstasks.aggregated_task import AbsTaskAggregate

from m2v_bench.cache import file_sha256, write_json
from m2v_bench.errors import BenchError

NAME = "manifest.json"
_FORMAT = 1


@dataclass(frozen=True)
class File:
    """One file of a repository: its size in bytes and the SHA-256 of its content, 64 hex digits."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """One dataset repository at one revision.

    Attributes:
        folder: path inside the bundle: `<org>/<name>`, or `<org>/<name>@<revision>` for a second revision.
        repository: name on the hub, `<org>/<name>`.
        revision: the commit that mteb pins.
        files: path in the repository -> file.
        tasks: names of the tasks that need it.
    """

    folder: str
    repository: str
    revision: str
    files: dict[str, File]
    tasks: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Total size of all files."""
        return sum(file.bytes for file in self.files.values())

    def damage(self, root: Path, *, contents: bool) -> str | None:
        """Return the first problem with the files below `root` (missing, extra, wrong size), or None.

        With `contents`, also compare hashes, once per process while size and time of a file stay the same.
        """
        folder = root / self.folder
        for name, file in self.files.items():
            path = folder / name
            if not path.is_file():
                return f"{path} is missing"
            if (size := path.stat().st_size) != file.bytes:
                return f"{path} is damaged: {size:,} bytes, {file.bytes:,} in {NAME}"
            if contents and file_sha256(path) != file.sha256:
                return f"{path} is damaged: its sha256 is not that in {NAME}"
        for path in sorted(folder.rglob("*")):
            name = path.relative_to(folder).as_posix()
            # datasets reads every data file in the folder
            if path.is_file() and name not in self.files and not any(part[0] == "." for part in name.split("/")):
                return f"{path} is not part of the repository (not in {NAME})"
        return None


@dataclass
class Manifest:
    """All repositories of a bundle, by folder."""

    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "Manifest | None":
        """Read the manifest of the bundle in `root`; return None if there is none.

        Raises:
            BenchError: when it cannot be read.
        """
        path = root / NAME
        if not path.is_file():
            return None
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            return cls({folder: _entry(folder, fields) for folder, fields in content["repositories"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(
                f"{path} is not a manifest of `m2v-bench bundle`, or damaged ({type(error).__name__}: {error}). "
                "Write the bundle again, or remove the file to use the folders unchecked."
            ) from error

    def write(self, root: Path) -> None:
        """Write the manifest of the bundle in `root` atomically."""
        repositories = {
            folder: {
                "repository": entry.repository,
                "revision": entry.revision,
                "tasks": sorted(entry.tasks),
                "files": {name: {"bytes": file.bytes, "sha256": file.sha256} for name, file in entry.files.items()},
            }
            for folder, entry in self.entries.items()
        }
        made_with = {name: version(name) for name in ("m2v-bench", "mteb", "datasets", "huggingface-hub")}
        write_json(root / NAME, {"format": _FORMAT, "made_with": made_with, "repositories": repositories})

    def find(self, repository: str, revision: str) -> Entry | None:
        """Return the entry of a repository at this revision, or None."""
        for entry in self.entries.values():
            if (entry.repository, entry.revision) == (repository, revision):
                return entry
        return None

    def revisions(self, repository: str) -> list[str]:
        """Return the bundled revisions of a repository."""
        return [entry.revision for entry in self.entries.values() if entry.repository == repository]

    def free_folder(self, repository: str, revision: str) -> str:
        """Return the folder for a new repository: its name, with the revision if the name is taken."""
        return f"{repository}@{revision}" if repository in self.entries else repository


def _entry(folder: str, fields: dict[str, Any]) -> Entry:
    files = {name: File(file["bytes"], file["sha256"]) for name, file in fields["files"].items()}
    return Entry(folder, fields["repository"], fields["revision"], files, tuple(fields["tasks"]))


def parts(task: AbsTask) -> Iterator[AbsTask]:
    """Yield the parts of an aggregate task, or the task itself."""
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            yield from parts(part)
    else:
        yield task
