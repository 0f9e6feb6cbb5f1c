"""Token frequencies counted in a corpus that the user names."""

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from tqdm.auto import tqdm

from m2v_bench.assets import is_offline
from m2v_bench.cache import cache_dir, cached_arrays, content_hash, file_sha256, folder_hash
from m2v_bench.distillation.weighting import Tokens
from m2v_bench.errors import BenchError

COUNTS_VERSION = 1
_BATCH = 1_000
_READERS = {".txt": "text", ".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet"}


class Corpus:
    """A file or dataset whose texts are the documents.

    Args:
        name: a file (`.txt` with one document a line, `.csv`, `.tsv`, `.json`, `.jsonl`, `.parquet`), a folder that
            `datasets` can load, or a dataset on the hub; `NAME:SPLIT` chooses a split, else `train` or the only one.
        column: the column of the texts.
        settings: what the user calls the two, for errors.

    Raises:
        BenchError: when there is no such file and no such dataset.
    """

    def __init__(
        self, name: str, column: str = "text", *, settings: tuple[str, str] = ("weighting.corpus=", "weighting.column=")
    ) -> None:
        self.name, self.column = name, column
        self._called, self._column_called = f"{settings[0]}{name}", f"{settings[1]}{column}"
        self._path, self._split = _locate(name, self._called)

    @property
    def label(self) -> str:
        """What names and tables call it."""
        return self._path.name + (f":{self._split}" if self._split else "")

    @cached_property
    def revision(self) -> str:
        """A hash of what is read."""
        if self._path.is_file():
            content = file_sha256(self._path)
        elif self._path.is_dir():
            content = folder_hash(self._path)
        else:
            content = self._rows._fingerprint  # of what the hub gave
        return content_hash([content, self._split, self.column])

    def count(self, tokenizer: Tokenizer, n_tokens: int, *, show_progress: bool) -> Tokens:
        """Count every token of `tokenizer` in the corpus; the counts are kept in the cache."""
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

        found, _ = cached_arrays("counts", key, count)
        return Tokens(n_tokens, found["counts"], found["documents"], int(found["n_documents"]))

    def batches(self, doing: str | None = None) -> Iterator[list[str]]:
        """The texts, a thousand at a time, without empty ones; `doing` is what a progress bar says of it.

        Raises:
            BenchError: when they cannot be read, or there is no such column.
        """
        rows = self._rows
        if self.column not in rows.column_names:
            raise BenchError(
                f"{self._column_called}: {self.name} has no such column; it has {', '.join(rows.column_names)}"
            )
        texts = rows.select_columns([self.column])
        starts = range(0, len(texts), _BATCH)
        for start in tqdm(starts, desc=doing, unit="thousand texts", disable=doing is None):
            yield [str(text) for text in texts[start : start + _BATCH][self.column] if text]

    @cached_property
    def _rows(self) -> Any:
        if self._path.is_file() and not self._path.stat().st_size:
            raise BenchError(f"{self._called}: there is no text in it")
        import datasets

        datasets.disable_progress_bars()
        options: dict[str, Any] = {}
        if self._path.exists():  # what `datasets` makes of a path would be read again after the file has changed
            options["cache_dir"] = str(cache_dir() / "datasets" / self.revision)
        elif is_offline("HF_HUB_OFFLINE"):
            raise BenchError(f"{self._called}: no such file, and downloads are switched off")
        try:
            if self._path.is_file():
                kind = _READERS[self._path.suffix]
                options |= {"delimiter": "\t"} if self._path.suffix == ".tsv" else {}
                return datasets.load_dataset(kind, data_files=str(self._path), split="train", **options)
            found = datasets.load_dataset(str(self._path), **options)
        except Exception as error:
            # `datasets` raises many kinds of errors for what is not one; to the user they are one
            reason = str(error.__cause__ or error).strip().partition("\n")[0]
            raise BenchError(f"{self._called}: cannot be read: {reason}") from error
        split = self._split or ("train" if "train" in found else next(iter(found)))
        if split not in found:
            raise BenchError(f"{self._called}: no split {split}; it has {', '.join(found)}")
        return found[split]


def _locate(name: str, called: str) -> tuple[Path, str | None]:
    path = Path(name).expanduser()
    split = None
    if not path.exists() and ":" in name:
        before, _, split = name.rpartition(":")
        path = Path(before).expanduser()
    if path.is_file() and split is not None:
        raise BenchError(f"{called}: a file has no splits; name it alone: {path}")
    if path.is_file() and path.suffix not in _READERS:
        raise BenchError(
            f"{called}: files that end in {path.suffix or 'nothing'} are not read; allowed: {', '.join(_READERS)}"
        )
    if not path.exists() and (path.is_absolute() or path.suffix in _READERS or len(path.parts) != 2):
        raise BenchError(
            f"{called}: no such file or folder; name a .txt file with one document a line, a .csv, "
            ".jsonl or .parquet file, or a dataset on the hub (org/name)"
        )
    return path, split
