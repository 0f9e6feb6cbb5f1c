"""Read users' tables: every row as texts, or an error that names the bad row.

Formats by suffix: `.csv` (RFC 4180), `.tsv`, `.json` (an array of objects), `.jsonl` (an object per line), `.parquet`,
and `.txt` (each line is a row of the column `text`); UTF-8, or UTF-16 with a byte order mark; optionally compressed.
"""

import codecs
import csv
import io
import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from m2v_bench.assets.compression import COMPRESSED, is_compressed, open_unpacked, plain_suffix
from m2v_bench.errors import BenchError, did_you_mean, refuse_lfs_pointer

SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".parquet")
TEXT_SUFFIXES = (".txt", *SUFFIXES)  # where a file need not be a table
_DELIMITERS = {".csv": ",;\t|", ".tsv": "\t,;|"}  # the most common one first
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BATCH = 10_000  # rows of a parquet file in memory
_FIRST_ROWS = 100  # rows of a JSON file whose keys give the columns
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_KINDS = {str: "a text", int: "a number", float: "a number", bool: "a truth value"}  # of JSON's values

Row = tuple[str | None, ...]


@dataclass(frozen=True)
class TableFile:
    """A table in a file, read on demand.

    A cell is its text: `007`, `NA` and `null` are kept verbatim, a whole number is `5`, not `5.0`. A missing cell is
    None: an empty cell in a CSV or TSV file; null or NaN in other formats, where an empty text is kept. Blank lines are
    skipped.

    A TSV file is read without quoting, one row per line, unless every cell with a quotation mark is quoted as in RFC
    4180, or only quoting gives all rows as many cells as the header.

    Attributes:
        path: the file.
        called: prefix of error messages: the setting, and the path if the setting does not contain it.
    """

    path: Path
    called: str

    @property
    def suffix(self) -> str:
        """The suffix of the format in lower case, ignoring one of a compression."""
        return plain_suffix(self.path)

    def columns(self, wanted: Sequence[str] = ()) -> list[str]:
        """Return the names of the columns, reading only the header or the first rows.

        Args:
            wanted: expected names, by which the delimiter of a CSV or TSV file is detected.
        """
        try:
            if self.suffix == ".parquet":
                return list(self._parquet().schema_arrow.names)
            if self.suffix in _DELIMITERS:
                return self._header(self._delimiter(wanted))
            if self.suffix == ".txt":
                return ["text"]
            return list(dict.fromkeys(key for row in islice(self._objects(), _FIRST_ROWS) for key in row))
        except (OSError, ValueError, RecursionError) as error:
            self._cannot(error)

    def check_columns(self, wanted: Sequence[str], hint: Callable[[str], str] = lambda name: "") -> None:
        """Refuse a file that lacks a column or has it twice, reading only the header.

        Args:
            wanted: the required columns.
            hint: first missing column -> end of the message.
        """
        columns = self.columns(wanted)
        if not columns:
            self.refuse("has no rows")
        if absent := [name for name in wanted if name not in columns]:
            near = did_you_mean(absent[0], columns)
            self.refuse(f"has no column {', '.join(absent)}; it has {', '.join(columns)}.{near}{hint(absent[0])}")
        self._check_unique(wanted, columns)

    def _check_unique(self, wanted: Sequence[str], columns: Sequence[str]) -> None:
        if twice := [name for name in wanted if columns.count(name) > 1]:
            self.refuse(f"has {columns.count(twice[0])} columns called {twice[0]}; rename all but one")

    def rows(self, columns: Sequence[str]) -> Iterator[Row]:
        """Yield the cells of these columns, row by row; cells of an absent column are None.

        Raises:
            BenchError: for an unreadable file or row, naming the row (1 is the first below the header).
        """
        readers = {".csv": self._separated, ".tsv": self._separated, ".parquet": self._parquet_rows, ".txt": self._lone}
        empty = True
        try:
            for row in readers.get(self.suffix, self._object_rows)(columns):
                empty = False
                yield row
        except (OSError, ValueError, RecursionError) as error:
            self._cannot(error)
        if empty:
            self.refuse("has no rows")

    def lines(self, *, blank: bool = False) -> Iterator[tuple[int, str]]:
        """Yield the lines of a text file, numbered from 1, without line ends; `blank` includes blank lines.

        Raises:
            BenchError: for an unreadable file, and for one without such lines.
        """
        empty = True
        try:
            for number, line in enumerate(self._lines(), start=1):
                if blank or line.strip():
                    empty = False
                    yield number, line.rstrip("\r\n")
        except (OSError, ValueError, RecursionError) as error:
            self._cannot(error)
        if empty:
            self.refuse("has no rows")

    def refuse(self, why: str) -> NoReturn:
        """Raise a BenchError about this file; `why` is a predicate, e.g. `has no rows`."""
        raise BenchError(f"{self.called} {why}")

    def _cannot(self, error: Exception) -> NoReturn:
        if isinstance(error, UnicodeDecodeError) and self.suffix != ".parquet":
            self._refuse_encoding()
        raise BenchError(f"{self.called} cannot be read: {error}") from error

    def _open(self) -> BinaryIO:
        refuse_lfs_pointer(self.path, self.called.rstrip(":"))
        return open_unpacked(self.path, self.refuse)

    # texts

    def _lines(self) -> Iterator[str]:
        """Yield the lines with their line ends; other Unicode line separators do not end a line."""
        with self._open() as file:
            start = file.read(1 << 16)
        if not start:
            self.refuse("is empty")
        encoding = next((name for bom, name in _BOMS if start.startswith(bom)), "utf-8")
        end = "\r" if b"\r" in start and b"\n" not in start else "\n"
        with self._open() as file, io.TextIOWrapper(file, encoding, newline=end) as text:
            for number, line in enumerate(text, start=1):
                if "\0" in line:
                    self.refuse(
                        f"has a NUL in line {number}: is it UTF-16? Convert it: {self._iconv('UTF-16LE')}, or remove it"
                    )
                yield line[:-1] + "\n" if end == "\r" and line.endswith("\r") else line

    def _refuse_encoding(self) -> None:
        position = 0
        with self._open() as file:
            if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                self.refuse("is not the UTF-16 that its byte order mark says; copy it again")
        with self._open() as file:
            for number, line in enumerate(file, start=1):
                try:
                    line.decode("utf-8")
                except UnicodeDecodeError as error:
                    self.refuse(
                        f"is not UTF-8: byte 0x{line[error.start]:02x} at position {position + error.start} (line "
                        f"{number}). If it is Windows-1252: {self._iconv('WINDOWS-1252')}"
                    )
                position += len(line)

    def _iconv(self, encoding: str) -> str:
        new = self.path.with_name(f"{self.path.name.split('.')[0]}-utf8{self.suffix}")
        return f"iconv -f {encoding} -t UTF-8 {shlex.quote(str(self.path))} > {shlex.quote(str(new))}"

    def _lone(self, columns: Sequence[str]) -> Iterator[Row]:
        for line in self._lines():
            if text := line.rstrip("\r\n"):
                yield tuple(text if column == "text" else None for column in columns)

    # separated values

    def _delimiter(self, wanted: Sequence[str]) -> str:
        """Return the delimiter that gives most of the wanted columns; on a tie the most common one."""

        def n_columns(delimiter: str) -> int:
            try:
                return len(set(wanted) & set(self._header(delimiter)))
            except BenchError:  # the wrong delimiter can break up quoted cells
                return 0

        delimiters = list(_DELIMITERS[self.suffix])
        return max(delimiters, key=n_columns) if wanted else delimiters[0]

    def _header(self, delimiter: str) -> list[str]:
        if delimiter == "\t":
            line = next((line for line in self._lines() if line.strip("\r\n")), "")
            cells = line.rstrip("\r\n").split("\t")
            if not all(_QUOTED.fullmatch(cell) for cell in cells if '"' in cell):
                return cells
        return next((cells for _, cells in self._quoted(delimiter)), [])

    def _separated(self, columns: Sequence[str]) -> Iterator[Row]:
        delimiter = self._delimiter(columns)
        lines = self._quoted(delimiter) if delimiter != "\t" or self._is_quoted() else self._unquoted()
        _, header = next(lines, (0, []))
        self._check_unique(columns, header)
        places = [header.index(column) if column in header else None for column in columns]
        for number, (line, cells) in enumerate(lines, start=1):
            if len(cells) != len(header):
                self.refuse(f"has {len(cells)} cells in row {number} (line {line}), {len(header)} in its header")
            yield tuple(None if place is None else cells[place] or None for place in places)

    def _quoted(self, delimiter: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the first line number and the cells of each row, by RFC 4180."""
        csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # the default limit is 131,072 characters
        reader = csv.reader(self._lines(), delimiter=delimiter, strict=True)
        before = 0
        try:
            for cells in reader:
                if cells:
                    yield before + 1, cells
                before = reader.line_num
        except csv.Error as error:
            why = str(error)
            if "unexpected end" in why:
                why = "a quotation mark is not closed"
            elif "new-line" in why:
                why = "a carriage return in a cell without quotation marks"
            elif "expected after" in why:
                why = "text behind a closing quotation mark"
            self.refuse(
                f"has a row from line {before + 1} on that is not CSV ({why}): put a cell with quotation marks in "
                "quotation marks and double those inside, or save the table as .jsonl"
            )

    def _unquoted(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the line number and the cells of each row, with quotation marks as text."""
        for number, line in enumerate(self._lines(), start=1):
            if text := line.rstrip("\r\n"):
                if "\r" in text:
                    self.refuse(
                        f"has a carriage return inside of line {number}; remove it, or save the table as .jsonl"
                    )
                yield number, text.split("\t")

    def _is_quoted(self) -> bool:
        """Return whether the quotation marks of a TSV file quote cells (see the class)."""
        width, marks, ragged = 0, False, False
        for _, cells in self._unquoted():
            width = width or len(cells)
            ragged |= len(cells) != width
            marks |= any('"' in cell and not _QUOTED.fullmatch(cell) for cell in cells)
        if not ragged and not marks:
            return True
        if not ragged and width > 1:
            return False
        try:
            widths = {len(cells) for _, cells in self._quoted("\t")}
        except BenchError:
            return False
        if not ragged and len(widths) == 1:
            self.refuse("has quotation marks that may be text or may join lines; save the table as .csv or .jsonl")
        return len(widths) == 1

    # JSON

    def _objects(self) -> Iterator[dict[str, Any]]:
        """Yield the rows as objects: elements of an array, or one object per line."""
        lines = self._lines()
        first = ""
        while not first.strip():
            line = next(lines, None)
            if line is None:
                return
            first += line
        if first.lstrip().startswith("["):
            try:
                rows = json.loads("".join([first, *lines]), object_pairs_hook=self._object)
            except json.JSONDecodeError as error:
                self.refuse(f"is not JSON: {error}")
        else:
            rows = self._json_lines(first, lines)
        for number, row in enumerate(rows, start=1):
            if not isinstance(row, dict):
                self.refuse(f"has no object in row {number}; a row must be {{column: value, ...}}")
            yield row

    def _json_lines(self, first: str, lines: Iterator[str]) -> Iterator[Any]:
        start = first.count("\n") or 1
        for number, line in enumerate(chain([first], lines), start):
            if line.strip():
                try:
                    yield json.loads(line, object_pairs_hook=self._object)
                except json.JSONDecodeError as error:
                    self.refuse(
                        f"is not JSON in line {number}: {error.msg}. It must be an array of objects, or one object "
                        "per line"
                    )

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        names = dict(pairs)
        if len(names) < len(pairs):
            keys = [key for key, _ in pairs]
            self.refuse(f"has an object with the key {next(key for key in keys if keys.count(key) > 1)!r} twice")
        return names

    def _object_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        kinds: dict[str, tuple[str, int]] = {}
        for number, row in enumerate(self._objects(), start=1):
            for column in columns:
                kind = _KINDS.get(type(row.get(column)))
                first = kinds.setdefault(column, (kind, number)) if kind else None
                if first and first[0] != kind:
                    self.refuse(
                        f"has {kind} in column {column} of row {number} and {first[0]} in row {first[1]}; give all "
                        "cells of a column one type"
                    )
            yield tuple(self._text(row.get(column), column, number) for column in columns)

    # parquet

    def _parquet(self) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        refuse_lfs_pointer(self.path, self.called.rstrip(":"))
        try:
            if is_compressed(self.path):
                with self._open() as file:
                    return pq.ParquetFile(pa.BufferReader(file.read()))
            return pq.ParquetFile(pa.OSFile(str(self.path)))
        except pa.ArrowException as error:
            self.refuse(f"cannot be read as parquet: {error}")

    def _parquet_rows(self, columns: Sequence[str]) -> Iterator[Row]:
        import pyarrow as pa

        file, number = self._parquet(), 0
        self._check_unique(columns, file.schema_arrow.names)
        present = [column for column in columns if column in file.schema_arrow.names]
        for column in present:
            kind = file.schema_arrow.field(column).type
            if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
                self.refuse(f"has a column {column} of {kind}; it must hold texts or numbers")
        for batch in file.iter_batches(batch_size=_BATCH, columns=present):
            cells = [
                batch.column(column).to_pylist() if column in present else [None] * len(batch) for column in columns
            ]
            for row in zip(*cells, strict=True):
                number += 1
                yield tuple(self._text(value, column, number) for value, column in zip(row, columns, strict=True))

    def _text(self, value: Any, column: str, number: int) -> str | None:
        """Convert a value to its cell's text."""
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        if isinstance(value, str):
            try:
                value.encode()
            except UnicodeEncodeError:
                self.refuse(f"has half of a surrogate pair, which is no text, in column {column} of row {number}")
            return value
        if isinstance(value, (list, dict, bytes)):
            self.refuse(f"has a {type(value).__name__} in column {column} of row {number}; it must be a text or number")
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            return str(int(value))
        return str(value)


def allowed_suffixes(*suffixes: str) -> str:
    """List the supported suffixes for a message."""
    return f"{', '.join(suffixes)} (each also with {', '.join(COMPRESSED)} behind it)"
