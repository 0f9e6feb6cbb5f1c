"""Give mteb datasets with columns as plain lists, and rows computed when they are read.

mteb 2.26 reads labels and texts through the lazy `Column` of `datasets`, which formats one row per access. That takes
90 % of the time of scoring a static model. mteb's code runs unchanged on the datasets of this module.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import datasets
from mteb._create_dataloaders import _corpus_to_dict
from mteb.abstasks import AbsTask, AbsTaskRetrieval

_BLOCK = 20_000  # rows read at once
# From a task's `dataset` to its tables: subset, split, and for retrieval corpus and queries.
_DEPTH = 3
# Columns in which mteb's data loader allows missing values.
_NULLABLE = {"image", "conversation", "audio", "video"}


class Columns(datasets.Dataset):
    """A `Dataset` whose `dataset["name"]` is a list, and whose `map` computes rows when they are read."""

    _lists: "_Lists"

    def __getitem__(self, key: Any) -> Any:
        """Return a column as a list, or rows as `Dataset` does."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        if "_lists" not in vars(self):
            self._lists = _Lists()
        if key not in self._lists:
            self._lists[key] = self._read(key)
        return self._lists[key]

    def _read(self, name: str) -> list[Any]:
        if name not in self.column_names:
            raise KeyError(f"Column {name} not in the dataset. Columns: {', '.join(self.column_names)}")
        # a transform may need all columns
        rows = self if self._format_type == "custom" else self._fast_select_column(name)
        values: list[Any] = []
        for start in range(0, len(self), _BLOCK):
            stop = min(start + _BLOCK, len(self))
            values.extend(datasets.Dataset.__getitem__(rows, slice(start, stop))[name])
        return values

    def select(self, indices: Iterable[int], *args: Any, **kwargs: Any) -> "Columns":
        """Return the rows at `indices`; the mapping stays in memory."""
        return as_columns(super().select(indices, *args, **{"keep_in_memory": True, **kwargs}))

    def map(self, function: Callable[..., Any] | None = None, *args: Any, **kwargs: Any) -> datasets.Dataset:
        """Return a dataset that applies `function` to each row when it is read, instead of to all rows at once."""
        if function is None or args or set(kwargs) - {"desc", "num_proc"} or self._format_type is not None:
            return super().map(function, *args, **kwargs)

        if function is _corpus_to_dict:
            return self.with_transform(_documents)

        def transform(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
            names = list(batch)
            rows = [dict(zip(names, values, strict=True)) for values in zip(*batch.values(), strict=True)]
            mapped = [{**row, **function(row)} for row in rows]
            return {name: [row.get(name) for row in mapped] for name in (mapped[0] if mapped else names)}

        return self.with_transform(transform)


def _documents(batch: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """Return what mteb's `_corpus_to_dict` does for each row: title and text joined, and the text as `body`."""
    texts = batch["text"]
    if "title" not in batch:
        joined = [text.strip() for text in texts]
    else:
        pairs = zip(batch["title"], texts, strict=True)
        joined = [(f"{title} {text}" if len(title) > 0 else text).strip() for title, text in pairs]
    return {**batch, "text": joined, "body": texts}


class _Lists(dict[str, list[Any]]):
    """Columns that were read. Copies of a dataset start without them, as `datasets` copies before it renames."""

    def __deepcopy__(self, memo: Any) -> "_Lists":
        return _Lists()


def as_columns(table: datasets.Dataset) -> Columns:
    """Return `table` as `Columns`; both share the data."""
    if isinstance(table, Columns):
        return table
    columns = Columns(
        table.data, info=table.info, split=table.split, indices_table=table._indices, fingerprint=table._fingerprint
    )
    if table._format_type is not None:
        columns.set_format(**table.format)
    return columns


def use_columns(task: AbsTask) -> None:
    """Replace the datasets of a loaded task by `Columns`."""
    if isinstance(task, AbsTaskRetrieval):
        task.convert_v1_dataset_format_to_v2(num_proc=None)
    task.dataset = _converted(task.dataset, _DEPTH)


def _converted(data: Any, depth: int) -> Any:
    if isinstance(data, datasets.Dataset):
        return as_columns(data)
    if not isinstance(data, Mapping) or not depth:
        return data
    parts = {name: _converted(part, depth - 1) for name, part in data.items()}
    return datasets.DatasetDict(parts) if isinstance(data, datasets.DatasetDict) else parts


def tables(data: Any, depth: int = _DEPTH) -> Iterator[datasets.Dataset]:
    """Yield the datasets in a task's `dataset`."""
    if isinstance(data, datasets.Dataset):
        yield data
    elif isinstance(data, Mapping) and depth:
        for part in data.values():
            yield from tables(part, depth - 1)


def forget_lists(task: AbsTask) -> None:
    """Free the columns that were read from the datasets of a task."""
    for table in tables(task.dataset):
        vars(table).pop("_lists", None)


def texts_of(inputs: Any) -> tuple[Iterator[str], int]:
    """Return the texts of mteb's batches, and how many there are; a data loader's dataset is read in blocks.

    Raises:
        ValueError: for a missing value in any column, as mteb's data loader does.
    """
    data = getattr(inputs, "dataset", None)  # a list of batches has none
    if not isinstance(data, datasets.Dataset):
        return (text for batch in inputs for text in batch["text"]), sum(len(batch["text"]) for batch in inputs)
    return _texts_of_dataset(as_columns(data)), len(data)


def _texts_of_dataset(data: Columns) -> Iterator[str]:
    for start in range(0, len(data), _BLOCK):
        block = data[start : start + _BLOCK]
        for name, values in block.items():
            if name not in _NULLABLE and None in values:
                raise ValueError(f"Found None in batch for key '{name}'")
        yield from block["text"]
