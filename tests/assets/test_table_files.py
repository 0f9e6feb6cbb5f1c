"""Test that table files are read cell by cell as text, or refused with the row."""

import bz2
import codecs
import csv
import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_bench.assets.table_files import SUFFIXES, TableFile
from m2v_bench.errors import BenchError

Rows = list[tuple[str | None, ...]]


def read(path: Path, columns: tuple[str, ...] = ("a", "b")) -> Rows:
    return list(TableFile(path, f"data={path.name}").rows(columns))


def read_bytes(folder: Path, name: str, content: bytes) -> Rows:
    (folder / name).write_bytes(content)
    return read(folder / name)


def write(path: Path, rows: Rows, **options: Any) -> None:
    """Write the columns a and b with pandas."""
    table = pd.DataFrame(rows, columns=["a", "b"], dtype=object)
    if path.suffix in (".csv", ".tsv"):
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",", **options)
    elif path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=path.suffix == ".jsonl", force_ascii=False)


# round trips

cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6) | st.sampled_from(
    ["007", "1.0", "NA", "null", "nan", "", " ", '"', '""', 'a "b" c', ",", ";", "\t", "\n", "\r\n", "\u2028", "\ufeff"]
)
tables = st.lists(st.tuples(cells, cells), min_size=1, max_size=5)
few = settings(derandomize=True, deadline=None, max_examples=60)


@few
@given(rows=tables, suffix=st.sampled_from([".json", ".jsonl", ".parquet"]))
def test_typed_files_keep_every_text(rows: Rows, suffix: str):
    with TemporaryDirectory() as folder:
        write(Path(folder) / f"t{suffix}", rows)
        assert read(Path(folder) / f"t{suffix}") == rows


@few
@given(rows=tables, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, csv.QUOTE_NONNUMERIC]))
def test_csv_keeps_every_text_and_reads_empty_cells_as_missing(rows: Rows, quoting: int):
    with TemporaryDirectory() as folder:
        write(Path(folder) / "t.csv", rows, quoting=quoting)
        assert read(Path(folder) / "t.csv") == [tuple(cell or None for cell in row) for row in rows]


@few
@given(rows=tables, quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL]))
def test_quoted_tsv_keeps_every_text_or_is_refused(rows: Rows, quoting: int):
    with TemporaryDirectory() as folder:
        write(Path(folder) / "t.tsv", rows, quoting=quoting)
        try:
            result = read(Path(folder) / "t.tsv")
        except BenchError:
            return
        assert result == [tuple(cell or None for cell in row) for row in rows]


@few
@given(rows=st.lists(st.tuples(*[st.text('ab "', max_size=5)] * 2), min_size=1, max_size=5))
def test_unquoted_tsv_keeps_its_rows(rows: Rows):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "t.tsv"
        path.write_text("a\tb\n" + "".join(f"{first}\t{second}\n" for first, second in rows), encoding="utf-8")
        result = read(path)
        assert len(result) == len(rows)
        assert [[(cell or "").replace('"', "") for cell in row] for row in result] == [
            [(cell or "").replace('"', "") for cell in row] for row in rows
        ]


# texts that look like something else

ODD = ["007", "1e3", "5.0", "NA", "null", "None", "nan", "N/A", "true", "-", "9007199254740993", "[1, 2]", "{}"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_texts_are_kept_verbatim(tmp_path: Path, suffix: str):
    rows: Rows = [(text, "x") for text in ODD]
    write(tmp_path / f"t{suffix}", rows)
    assert read(tmp_path / f"t{suffix}") == rows


def test_numbers_become_texts(tmp_path: Path):
    pd.DataFrame({"a": [5, 2**53 + 1], "b": [5.0, 0.5]}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "t.jsonl").write_text('{"a": 5, "b": 5.0}\n{"a": 9007199254740993, "b": 0.5}\n')
    (tmp_path / "t.json").write_text('[{"a": 5, "b": 5.0}, {"a": 9007199254740993, "b": 0.5}]')
    for suffix in (".parquet", ".jsonl", ".json"):
        assert read(tmp_path / f"t{suffix}") == [("5", "5"), ("9007199254740993", "0.5")], suffix


def test_missing_cells_are_none(tmp_path: Path):
    assert read_bytes(tmp_path, "t.csv", b"a,b\nx,\n,y\n") == [("x", None), (None, "y")]
    assert read_bytes(tmp_path, "t.tsv", b"a\tb\nx\t\n\ty\n") == [("x", None), (None, "y")]
    assert read_bytes(tmp_path, "t.jsonl", b'{"a": "x", "b": null}\n{"b": "y"}\n') == [("x", None), (None, "y")]
    write(tmp_path / "t.parquet", [("x", None), (None, "y")])
    assert read(tmp_path / "t.parquet") == [("x", None), (None, "y")]


# quotation marks

TEXTS = [("first", "x"), ('"Hello, he said', "y"), ("third", "z"), ('he said "bye', "u"), ('"Bye" she said', "v")]


def test_quotation_marks_in_tsv_are_text(tmp_path: Path):
    lines = "a\tb\n" + "".join(f"{first}\t{second}\n" for first, second in TEXTS)
    assert read_bytes(tmp_path, "t.tsv", lines.encode()) == TEXTS


def test_quoted_tsv_is_read_as_quoted(tmp_path: Path):
    content = b'a\tb\n"tab\there"\t"two\nlines"\nplain\t"a ""mark"""\n'
    assert read_bytes(tmp_path, "t.tsv", content) == [("tab\there", "two\nlines"), ("plain", 'a "mark"')]


# bytes

LINES = "a,b\näö,1\nß,2\n"
WANTED: Rows = [("äö", "1"), ("ß", "2")]


@pytest.mark.parametrize(
    "content",
    [
        LINES.encode(),
        codecs.BOM_UTF8 + LINES.encode(),
        LINES.encode("utf-16"),
        codecs.BOM_UTF16_BE + LINES.encode("utf-16-be"),
        LINES.replace("\n", "\r\n").encode(),
        LINES.replace("\n", "\r").encode(),
        LINES.rstrip().encode(),
        LINES.replace("\n", "\n\n").encode(),
        LINES.replace(",", ";").encode(),
        LINES.replace(",", "\t").encode(),
        b'"a";"b"\n' + '"äö";1\n"ß";2\n'.encode(),
    ],
    ids=["utf-8", "bom", "utf-16-le", "utf-16-be", "crlf", "cr", "no end", "blank lines", ";", "tab", "quoted;"],
)
def test_encodings_line_ends_and_delimiters(tmp_path: Path, content: bytes):
    assert read_bytes(tmp_path, "t.csv", content) == WANTED


def _zip(content: bytes, folder: Path) -> bytes:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("t.csv", content)
    return (folder / "a.zip").read_bytes()


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zip", None), (".GZ", gzip.compress)],
)
def test_compressed_tables_are_read(tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes] | None):
    content = compress(LINES.encode()) if compress else _zip(LINES.encode(), tmp_path)
    assert read_bytes(tmp_path, f"t.csv{suffix}", content) == WANTED
    assert read_bytes(tmp_path, "t.csv", content) == WANTED  # recognized by content, not by name
    with pytest.raises(BenchError, match=r"^data=t\.csv cannot be read: |cannot be unpacked"):
        read_bytes(tmp_path, "t.csv", content[: len(content) // 2])


def test_compressed_parquet_is_read(tmp_path: Path):
    write(tmp_path / "t.parquet", WANTED)
    assert read_bytes(tmp_path, "u.parquet.gz", gzip.compress((tmp_path / "t.parquet").read_bytes())) == WANTED


# files that are refused

POINTER = b"version https://git-" + b"lfs.example/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", r"^data=t\.csv is empty$"),
        ("t.csv", b"a,b\n", "has no rows"),
        ("t.jsonl", b"\n\n", "has no rows"),
        ("t.csv", b"a,b\n1,2\n3\n", r"has 1 cells in row 2 \(line 3\), 2 in its header"),
        ("t.csv", b"a,b\n1,2\n3,4,5\n", r"has 3 cells in row 2 \(line 3\), 2 in its header"),
        ("t.tsv", b"a\tb\n1\t2\n3\n", r"has 1 cells in row 2 \(line 3\), 2 in its header"),
        ("t.csv", b'a,b\n1,"2\n3,4\n', r"from line 2 on that is not CSV \(a quotation mark is not closed\)"),
        ("t.csv", b'a,b\n"1" x,2\n', "text behind a closing quotation mark"),
        ("t.csv", b"a,b\n1,caf\xe9\n", r"byte 0xe9 at position 9 \(line 2\).*iconv -f WINDOWS-1252 -t UTF-8 .*t\.csv"),
        ("t.csv", "a,b\n1,2\n".encode("utf-16-le"), "has a NUL in line 1: is it UTF-16"),
        ("t.csv", b"\x28\xb5\x2f\xfd0000", r"unpack it first: zstd -d .*t\.csv"),
        ("t.jsonl", b'{"a": 1}\n{"a": \n', "is not JSON in line 2"),
        ("t.jsonl", b'{"a": 1}\n[1]\n', "has no object in row 2"),
        ("t.json", b'[{"a": 1},', "is not JSON"),
        ("t.jsonl", b'{"a": 1, "a": 2}\n', "key 'a' twice"),
        ("t.jsonl", b'{"a": 1}\n{"a": "x"}\n', "has a text in column a of row 2 and a number in row 1"),
        ("t.jsonl", b'{"a": true}\n{"a": 1}\n', "has a number in column a of row 2 and a truth value in row 1"),
        ("t.jsonl", b'{"a": ["x"]}\n', "has a list in column a of row 1"),
        ("t.jsonl", rb'{"a": "\ud800"}', "half of a surrogate pair, which is no text, in column a of row 1"),
        ("t.parquet", b"PAR1", "cannot be read"),
        ("t.json", b"[" * 100_000, "cannot be read: maximum recursion depth"),
        ("t.csv", b"\xff\xfea", "is not the UTF-16 that its byte order mark says"),
        ("t.csv", b"a,b,b\n1,2,3\n", "has 2 columns called b; rename all but one"),
        ("t.tsv", b"a\tb\tb\n1\t2\t3\n", "has 2 columns called b; rename all but one"),
        *((f"t{suffix}", POINTER, "is a Git LFS pointer.* lfs pull") for suffix in SUFFIXES),
    ],
)
def test_refused_files(tmp_path: Path, name: str, content: bytes, message: str):
    with pytest.raises(BenchError, match=message):
        read_bytes(tmp_path, name, content)


def test_empty_header_has_no_rows(tmp_path: Path):
    for name, content in (("t.json", b"[]"), ("t.jsonl", b"\n"), ("t.csv", codecs.BOM_UTF8), ("t.tsv", b"\r\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BenchError, match=r"^data has no rows$"):
            TableFile(tmp_path / name, "data").check_columns(["a"])


def test_archives_and_non_text_columns_are_refused(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("one.csv", "a,b\n")
        archive.writestr("two.csv", "a,b\n")
    with pytest.raises(BenchError, match="is an archive of 2 files"):
        read(tmp_path / "t.csv.zip")
    pq.write_table(pa.table([[1], [2]], names=["a", "a"]), tmp_path / "t.parquet")
    with pytest.raises(BenchError, match="has 2 columns called a"):
        read(tmp_path / "t.parquet", ("a",))
    pd.DataFrame({"a": [["x"]], "b": [1]}).to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BenchError, match="has a column a of list"):
        read(tmp_path / "t.parquet")


# columns


def test_optional_column_does_not_hide_the_delimiter(tmp_path: Path):
    (tmp_path / "t.csv").write_text("a;b\n1,5;x\n")
    assert read(tmp_path / "t.csv", ("a", "b", "c")) == [("1,5", "x", None)]


def test_columns_are_checked_by_the_header(tmp_path: Path):
    for name, content in (("t.csv", "a,bb\n"), ("t.tsv", "a\tbb\n"), ("t.jsonl", json.dumps({"a": 1, "bb": 2}))):
        (tmp_path / name).write_text(content)
        table = TableFile(tmp_path / name, "data")
        assert table.columns() == ["a", "bb"]
        with pytest.raises(BenchError, match=r"^data has no column b; it has a, bb\. Did you mean bb\? columns: b$"):
            table.check_columns(["a", "b"], hint=" columns: {}".format)
    (tmp_path / "t.csv").write_text("a,a,b\n1,2,3\n")
    with pytest.raises(BenchError, match="has 2 columns called a; rename all but one"):
        TableFile(tmp_path / "t.csv", "data").check_columns(["a"])


@pytest.mark.parametrize(
    "name", ["t[1]", "a*b", "a?b", "{a}", "a,b", "a#b", "a%20b", "a b", "a:b", "größe", "a=b", "'"]
)
def test_paths_are_read_literally(tmp_path: Path, name: str):
    (tmp_path / name).mkdir()
    for suffix in SUFFIXES:
        write(tmp_path / name / f"{name}{suffix}", WANTED)
        assert read(tmp_path / name / f"{name}{suffix}") == WANTED
