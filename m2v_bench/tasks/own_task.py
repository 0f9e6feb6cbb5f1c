"""Base classes of tasks that mteb lacks: metadata, data from files, and embedding of texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset, DatasetDict
from mteb.abstasks import AbsTask
from mteb.abstasks.task_metadata import TaskMetadata

from m2v_bench.assets.table_files import TableFile
from m2v_bench.cache import content_hash, file_sha256, folder_hash
from m2v_bench.errors import BenchError, refuse_lfs_pointer
from m2v_bench.tasks.hub import find_repository, newest_commit, revisions_in
from m2v_bench.tasks.manifest import parts


def own_metadata(name: str, type_: Any, main_score: str, about: str, *, path: str, **fields: Any) -> TaskMetadata:
    """Return `TaskMetadata` with all fields that mteb requires.

    Args:
        name: name in result files.
        type_: mteb task type.
        main_score: key of the main score.
        about: description of the task and its score.
        path: source of the data.
        **fields: other fields of `TaskMetadata`; `revision` is the dataset's.
    """
    return TaskMetadata(
        name=name,
        type=type_,
        main_score=main_score,
        description=about,
        dataset={"path": path, "revision": fields.pop("revision", "unknown")},
        category=fields.pop("category", "t2t"),
        eval_splits=["test"],
        eval_langs=["eng-Latn"],
        license="not specified",
        annotations_creators=fields.pop("annotations_creators", "human-annotated"),
        dialect=[],
        sample_creation="found",
        task_subtypes=[],
        domains=fields.pop("domains", ["Written"]),
        date=fields.pop("date", ("1987-01-01", "2002-12-31")),
        bibtex_citation=fields.pop("citation", ""),
        **fields,
    )


class OwnTask(AbsTask):
    """A task that mteb lacks.

    Attributes:
        group: its column in tables, if not its mteb type.
        version: increment when the task reads or scores its data differently, so that no old score is reused.
        n_characters: of its test texts, where they are known before the data is here; mteb counts its own tasks.
    """

    group: ClassVar[str | None] = None
    version: ClassVar[int] = 1
    n_characters: ClassVar[int | None] = None

    def locate(self, data_dir: Path | None, hub_dir: Path | None) -> str | None:
        """Locate the data; return why it is not available, or None."""
        return None

    def hub_repositories(self) -> list[tuple[str, str]]:
        """Return the dataset repositories that the task loads from the hub, as (name, revision)."""
        return []

    def local_files(self) -> list[Path]:
        """Return the local files that the task reads, if it reads single files."""
        return []

    def pin(self, revision: str, **fields: str) -> None:
        """Set the dataset revision, which keys the scores, to a hash of `revision` and the task's version."""
        dataset = {**self.metadata.dataset, "revision": content_hash([self.version, revision]), **fields}
        # copied, as the metadata object is shared by all instances of the class
        self.metadata = self.metadata.model_copy(update={"dataset": dataset})

    def embed(self, model: Any, texts: Sequence[str], encode_kwargs: Mapping[str, Any]) -> np.ndarray:
        """Embed `texts` with the model: float array of shape (texts, dims)."""
        from torch.utils.data import DataLoader

        batches: Any = DataLoader(Dataset.from_dict({"text": list(texts)}), batch_size=encode_kwargs["batch_size"])
        vectors = model.encode(
            batches, task_metadata=self.metadata, hf_split="test", hf_subset="default", **encode_kwargs
        )
        return np.asarray(vectors)

    def _get_content_columns(self) -> dict[str, Any]:
        """Return the text columns that mteb's class declares, else the columns of strings."""
        columns = super()._get_content_columns()
        if columns or not isinstance(self.dataset, dict) or "test" not in self.dataset:
            return columns
        return {name: "text" for name, feature in self._rows("test").features.items() if "string" in str(feature)}

    def _rows(self, part: str) -> Dataset:
        assert self.dataset is not None
        return self.dataset[part]

    def _calculate_descriptive_statistics_from_split(self, split: str, **kwargs: Any) -> Any:
        rows = self._rows(split)
        texts = [value for row in rows for value in row.values() if isinstance(value, str)]
        return {"num_samples": len(rows), "number_of_characters": sum(map(len, texts))}


class FromFiles(OwnTask):
    """A task with data in files below `data_dir`, or in a dataset repository with the same data.

    Attributes:
        files: part of the data -> file below `data_dir`.
        repository: the dataset repository, or None.
        configs: part -> configuration and split in the repository.
        columns: part -> required columns.
        nullable: columns in which cells may be missing.
    """

    files: ClassVar[Mapping[str, str]]
    repository: ClassVar[str | None] = None
    configs: ClassVar[Mapping[str, tuple[str, str]]] = {}
    columns: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    nullable: ClassVar[tuple[str, ...]] = ()
    _folder: Path | None = None
    _in_files: bool = False
    _commit: str | None = None

    def locate(self, data_dir: Path | None, hub_dir: Path | None) -> str | None:
        """Locate the data and pin the task to its content; return why it is not available, or None.

        Raises:
            BenchError: for a file that is a Git LFS pointer or lacks a column.
        """
        if data_dir is not None:
            absent = [name for name in self.files.values() if not (data_dir / name).is_file()]
            if absent:
                return f"not in data_dir={data_dir}: {', '.join(absent)}"
            for part, name in self.files.items():
                refuse_lfs_pointer(data_dir / name, "data_dir")
                if part in self.columns:
                    TableFile(data_dir / name, f"data_dir: {data_dir / name}").check_columns(self.columns[part])
            self._folder, self._in_files = data_dir, True
            self.pin(content_hash({name: file_sha256(data_dir / name) for name in self.files.values()}))
            return None
        if self.repository is None:
            return f"it has no dataset repository; set data_dir to a folder with {', '.join(self.files.values())}"
        return self._locate_repository(self.repository, hub_dir)

    def _locate_repository(self, repository: str, hub_dir: Path | None) -> str | None:
        if hub_dir is not None:
            revision = next(iter(revisions_in(hub_dir, repository)), "main")
            self._folder, reason = find_repository(hub_dir.absolute(), repository, revision)
            if self._folder is None:
                return f"not in {hub_dir}: {repository}{reason}, and data_dir is not set"
            self.pin(folder_hash(self._folder), path=str(self._folder))
            return None
        # no revision of these repositories is pinned anywhere, so the newest commit is looked up and keys the scores
        self._commit, reason = newest_commit(repository)
        if self._commit is None:
            return f"{repository} is not available from the hub ({reason}); set data_dir or hub_dir"
        self.pin(self._commit)
        return None

    def hub_repositories(self) -> list[tuple[str, str]]:
        """See `OwnTask`."""
        return [] if self.repository is None or self._in_files else [(self.repository, self._commit or "main")]

    def local_files(self) -> list[Path]:
        """See `OwnTask`."""
        return [self._folder / name for name in self.files.values()] if self._in_files and self._folder else []

    def load_data(self, num_proc: int | None = None, **kwargs: Any) -> None:
        """Read the parts of the data that `locate` found."""
        if not self.data_loaded:
            self.dataset = self.arrange({part: self._part(part) for part in self.files})
            self.data_loaded = True

    def _part(self, part: str) -> Dataset:
        if self._in_files and self._folder is not None:
            called = str(self._folder / self.files[part])
            rows = self.read(self._folder / self.files[part])
        else:
            from datasets import load_dataset

            config, split = self.configs[part]
            called = f"{self.repository}, {config}, {split}"
            rows = load_dataset(self.metadata.dataset["path"], config, split=split, revision=self._commit)
        for column in self.columns.get(part, ()):
            if column not in rows.column_names:
                raise BenchError(f"{called} has no column {column}; it has {', '.join(rows.column_names)}")
            if column not in self.nullable and None in (cells := rows[column][:]):
                raise BenchError(f"{called} has an empty cell in row {cells.index(None) + 1}, column {column}")
        return rows

    def read(self, path: Path) -> Dataset:
        """Read the rows of a data file."""
        import pandas as pd

        try:
            with path.open("rb") as file:
                return Dataset.from_pandas(pd.read_parquet(file), preserve_index=False)
        except (OSError, ValueError) as error:
            raise BenchError(f"{path} cannot be read as parquet: {error}") from error

    def arrange(self, parts: dict[str, Dataset]) -> DatasetDict:
        """Combine the parts into the task's `dataset`."""
        return DatasetDict(parts)


def repositories(task: AbsTask) -> list[tuple[str, str]]:
    """Return the dataset repositories that a task loads from the hub, as (name, revision)."""
    if isinstance(task, OwnTask):
        return task.hub_repositories()
    pinned = [(str(part.metadata.dataset["path"]), str(part.metadata.dataset["revision"])) for part in parts(task)]
    return [(name, revision) for name, revision in dict.fromkeys(pinned) if not Path(name).is_absolute()]
