"""Count token frequencies in a corpus."""

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tqdm.auto import tqdm

from m2v_bench.assets.compression import plain_suffix
from m2v_bench.assets.dataset_folders import readable_folder
from m2v_bench.assets.fetch import is_offline
from m2v_bench.assets.table_files import TEXT_SUFFIXES, TableFile, allowed_suffixes
from m2v_bench.cache import cached_arrays, content_hash, file_sha256, folder_hash
from m2v_bench.distillation.weighting import Tokens
from m2v_bench.errors import BenchError, did_you_mean

COUNTS_VERSION = 2
_BATCH = 1_000


class Corpus:
    """A file or dataset whose texts are the documents.

    Args:
        name: a file (`.txt` with one document per line, or a table that `table_files` reads), a folder that `datasets`
            can load, or a dataset on the hub; `NAME:SPLIT` chooses a split, else `train` or the first one.
        column: the column of the texts.
        settings: prefixes of `name` and `column` in error messages.

    Raises:
        BenchError: when there is no such file or dataset, or a file lacks the column.
    """

    def __init__(
        self, name: str, column: str = "text", *, settings: tuple[str, str] = ("corpus=", "corpus_column=")
    ) -> None:
        self.name, self.column = name, column
        self._called, self._column_called = f"{settings[0]}{name}", f"{settings[1]}{column}"
        self._path, self._split = _locate(name, self._called)
        if self._path.is_file():
            if columns := self._file.columns([column]):
                self._check_column(columns)
            self._file.check_columns([column])

    @property
    def label(self) -> str:
        """Short name for labels and tables."""
        return self._path.name + (f":{self._split}" if self._split else "")

    @cached_property
    def revision(self) -> str:
        """Hash of the content, the split and the column."""
        if self._path.is_file():
            content = file_sha256(self._path)
        elif self._path.is_dir():
            content = folder_hash(self._path)
        else:
            content = self._rows._fingerprint  # hash of the downloaded data
        return content_hash([content, self._split, self.column])

    def count(self, tokenizer: Tokenizer, n_tokens: int, *, show_progress: bool) -> Tokens:
        """Count every token of `tokenizer` in the corpus; the counts are cached."""
        key = {"version": COUNTS_VERSION, "corpus": self.revision, "tokenizer": content_hash(tokenizer.to_str())}

        def count(_: Path) -> dict[str, np.ndarray]:
            counts = np.zeros(n_tokens, np.int64)
            documents = np.zeros(n_tokens, np.int64)
            n_documents = 0
            for texts in self.batches("counting tokens" if show_progress else None):
                for encoding in tokenizer.encode_batch_fast(texts, add_special_tokens=False):
                    ids, times = np.unique(np.array(encoding.ids, dtype=np.int64), return_counts=True)
                    counts[ids] += times
                    documents[ids] += 1
                n_documents += len(texts)
            if not n_documents:
                raise BenchError(f"{self._called}: there is no text in it")
            return {"counts": counts, "documents": documents, "n_documents": np.array(n_documents)}

        arrays, _ = cached_arrays("counts", key, count)
        return Tokens(n_tokens, arrays["counts"], arrays["documents"], int(arrays["n_documents"]))

    def batches(self, doing: str | None = None) -> Iterator[list[str]]:
        """Yield the non-empty texts in batches of a thousand; `doing` is the label of a progress bar.

        Raises:
            BenchError: when the corpus cannot be read, or lacks the column.
        """
        with tqdm(desc=doing, unit=" texts", disable=doing is None) as bar:
            for batch in self._batches():
                yield [text for text in batch if text]
                bar.update(len(batch))

    def _batches(self) -> Iterator[list[str | None]]:
        if self._path.is_file():
            cells = (cell for (cell,) in self._file.rows([self.column]))
            while batch := list(islice(cells, _BATCH)):
                yield batch
            return
        rows = self._rows
        self._check_column(rows.column_names)
        texts = rows.select_columns([self.column])
        for start in range(0, len(texts), _BATCH):
            yield [_text(value, self._called) for value in texts[start : start + _BATCH][self.column]]

    def _check_column(self, columns: Sequence[str]) -> None:
        if self.column not in columns:
            raise BenchError(
                f"{self._column_called}: {self.name} has no such column; it has {', '.join(columns)}."
                f"{did_you_mean(self.column, columns)}"
            )

    @property
    def _file(self) -> TableFile:
        return TableFile(self._path, f"{self._called}:")

    @cached_property
    def _rows(self) -> Any:
        import datasets

        datasets.disable_progress_bars()
        options: dict[str, Any] = {}
        path: Path | str = self._path
        if self._path.is_dir():
            path, cache = readable_folder(self._path, self._called)
            options["cache_dir"] = str(cache)
        elif is_offline("HF_HUB_OFFLINE"):
            raise BenchError(f"{self._called}: no such file, and downloads are switched off")
        try:
            splits = datasets.load_dataset(str(path), **options)
        except Exception as error:  # `datasets` raises many types of errors for an unreadable dataset
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise BenchError(f"{self._called}: cannot be read: {reason}") from error
        split = self._split or ("train" if "train" in splits else next(iter(splits)))
        if split not in splits:
            raise BenchError(f"{self._called}: no split {split}; it has {', '.join(splits)}")
        return splits[split]


def _locate(name: str, called: str) -> tuple[Path, str | None]:
    path = Path(name).expanduser()
    split = None
    if not path.exists() and ":" in name:
        before, _, split = name.rpartition(":")
        path = Path(before).expanduser()
    if path.is_file() and split is not None:
        raise BenchError(f"{called}: a file has no splits; give only the path: {path}")
    if path.is_file() and (suffix := plain_suffix(path)) not in TEXT_SUFFIXES:
        raise BenchError(
            f"{called}: files that end in {suffix or 'nothing'} are not read; "
            f"allowed: {allowed_suffixes(*TEXT_SUFFIXES)}"
        )
    if not path.exists() and (path.is_absolute() or plain_suffix(path) in TEXT_SUFFIXES or len(path.parts) != 2):
        raise BenchError(
            f"{called}: no such file or folder; name a .txt file with one document a line, a .csv, "
            ".tsv, .json, .jsonl or .parquet file, or a dataset on the hub (org/name)"
        )
    return path, split


def _text(value: Any, called: str) -> str | None:
    """Return a dataset cell as text, None for a missing value; refuse lists and other containers."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, str | int | float):
        raise BenchError(f"{called}: its cells hold {type(value).__name__} values; name a column of texts")
    return str(value)
