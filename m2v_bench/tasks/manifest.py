"""What a bundle of dataset repositories holds: `manifest.json` beside their folders."""

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
        folder: where it lies below the bundle: `<org>/<name>`, or `<org>/<name>@<revision>` for a second revision.
        repository: its name on the hub, `<org>/<name>`.
        revision: the commit, as mteb pins it.
        files: its files by their path in the repository.
        tasks: the tasks that need it.
    """

    folder: str
    repository: str
    revision: str
    files: dict[str, File]
    tasks: tuple[str, ...] = ()

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(file.bytes for file in self.files.values())

    def damage(self, root: Path, *, contents: bool) -> str | None:
        """What is wrong with the files below `root`, or None: missing, additional, of another size.

        With `contents`, every byte is read as well, once per process while size and time of a file stay the same.
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
            # datasets reads every data file that it finds
            if path.is_file() and name not in self.files and not any(part[0] == "." for part in name.split("/")):
                return f"{path} is not of the repository (not in {NAME})"
        return None


@dataclass
class Manifest:
    """All repositories of a bundle, by folder."""

    entries: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def read(cls, root: Path) -> "Manifest | None":
        """The manifest of the bundle in `root`; None where there is none.

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
                f"{path} is no manifest of `m2v-bench bundle`, or damaged ({type(error).__name__}: {error}). "
                "Write the bundle again, or remove the file to have the folders taken as they are."
            ) from error

    def write(self, root: Path) -> None:
        """Write the manifest of the bundle in `root`; a reader sees the old one or the new one."""
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
        """The repository at this revision."""
        for entry in self.entries.values():
            if (entry.repository, entry.revision) == (repository, revision):
                return entry
        return None

    def revisions(self, repository: str) -> list[str]:
        """The revisions that are there of a repository."""
        return [entry.revision for entry in self.entries.values() if entry.repository == repository]

    def free_folder(self, repository: str, revision: str) -> str:
        """Where a repository goes: under its name, or beside it where that holds another revision."""
        return f"{repository}@{revision}" if repository in self.entries else repository


def _entry(folder: str, fields: dict[str, Any]) -> Entry:
    files = {name: File(file["bytes"], file["sha256"]) for name, file in fields["files"].items()}
    return Entry(folder, fields["repository"], fields["revision"], files, tuple(fields["tasks"]))


def parts(task: AbsTask) -> Iterator[AbsTask]:
    """The tasks that hold the data: those of an aggregate, else the task itself."""
    if isinstance(task, AbsTaskAggregate):
        for part in task.metadata.tasks:
            yield from parts(part)
    else:
        yield task
