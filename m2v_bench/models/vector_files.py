"""Convert files of word vectors to words.txt and vectors.npy in the cache.

Three formats, recognized by their first two lines: GloVe's text ("word number number ..."), word2vec's text (the same
after a line "WORDS DIMS", also fastText's .vec), word2vec's binary (that line, then per word its UTF-8 bytes, a space
and DIMS little-endian float32). A file may be compressed by gzip, bzip2, xz or zip, and begin with a UTF-8 byte order
mark.
"""

import codecs
import json
import mmap
import os
import re
import shlex
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.assets.compression import is_compressed, open_unpacked
from m2v_bench.cache import cache_dir, content_hash, file_sha256, locked, new_folder
from m2v_bench.errors import BenchError, refuse_lfs_pointer

_VERSION = 2  # increment when the same file gives different words or rows
_LOOK_AHEAD = 1000  # lines from which the number of dimensions is inferred
_FASTTEXT = (793712314).to_bytes(4, "little")  # magic number of fastText's .bin

# position in the file, place for error messages, word, vector
_Entry = tuple[int, str, bytes, np.ndarray]
_Refuse = Callable[[str], NoReturn]


def converted(path: Path, *, setting: str) -> Path:
    """Return the folder of words.txt (one per line, in the file's order) and vectors.npy (float32, words x dims).

    The folder is keyed by the file's content. For a duplicate word the first vector is kept.

    Args:
        path: the file of word vectors.
        setting: name of the setting in error messages.

    Raises:
        BenchError: when there is no such file, or a line or vector in the file is invalid.
    """

    def refuse(why: str) -> NoReturn:
        raise BenchError(f"{setting}={path}: {why}")

    try:
        refuse_lfs_pointer(path, f"{setting}={path}")
        digest = file_sha256(path.resolve(strict=True))
    except OSError as error:
        refuse(f"cannot be read ({error.strerror}); name a file of word vectors in GloVe's or word2vec's format")
    folder = cache_dir() / "vectors" / content_hash([_VERSION, digest])
    if not folder.is_dir():
        with locked(folder):
            if not folder.is_dir():  # another process may have converted it meanwhile
                with new_folder(folder) as new:
                    _convert(path, new, refuse)
    return folder


def read_words(folder: Path) -> list[str]:
    """Read words.txt; not by `splitlines`, as some words contain other Unicode line ends."""
    return (folder / "words.txt").read_bytes().decode("utf-8").split("\n")[:-1]


@contextmanager
def _open(path: Path, folder: Path, refuse: _Refuse) -> Iterator[BinaryIO]:
    """Open the file, or a decompressed copy in `folder`, as binary files are memory-mapped."""
    copy = folder / "unpacked"
    if is_compressed(path):
        with open_unpacked(path, refuse) as packed, copy.open("wb") as file:
            while chunk := _read(packed, refuse):
                file.write(chunk)
    with (copy if copy.exists() else path).open("rb") as file:
        yield file
    copy.unlink(missing_ok=True)


def _read(packed: BinaryIO, refuse: _Refuse) -> bytes:
    try:
        return packed.read(1 << 20)
    except OSError as error:
        refuse(str(error))


def _convert(path: Path, folder: Path, refuse: _Refuse) -> None:
    with (
        _open(path, folder, refuse) as file,
        tqdm(
            total=os.fstat(file.fileno()).st_size, desc=f"reading {path.name}", unit="B", unit_scale=True, disable=None
        ) as bar,
        (folder / "words.txt").open("wb") as words,
        (folder / "vectors.npy").open("wb") as vectors,
    ):
        dims, entries = _entries(path, file, refuse)
        _write_header(vectors, 0, dims)
        seen: set[bytes] = set()
        duplicates = 0
        for position, place, word, row in entries:
            if not np.isfinite(row).all():
                refuse(f"{place} holds a number that is not finite")
            if word in seen:
                duplicates += 1
                continue
            seen.add(word)
            words.write(_checked(word, place, refuse) + b"\n")
            vectors.write(row.tobytes())
            bar.update(position - bar.n)
        if not seen:
            refuse("holds no word vectors")
        vectors.seek(0)
        _write_header(vectors, len(seen), dims)
    (folder / "report.json").write_text(json.dumps({"words": len(seen), "dims": dims, "duplicates": duplicates}))
    dropped = f"; dropped {duplicates:,} duplicate words, keeping the first of each" if duplicates else ""
    print(f"read {path.name}: {len(seen):,} words x {dims}{dropped}", file=sys.stderr)


def _write_header(file: BinaryIO, n: int, dims: int) -> None:
    """Write the header of a .npy file, which numpy pads so that `n` can grow."""
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (n, dims)})


def _checked(word: bytes, place: str, refuse: _Refuse) -> bytes:
    try:
        word.decode("utf-8")
    except UnicodeDecodeError:
        refuse(f"the word of {place} is not UTF-8; convert the file: iconv -f ENCODING -t UTF-8 FILE > NEW")
    if b"\n" in word:
        refuse(f"the word of {place} holds a line end")
    return word


def _entries(path: Path, file: BinaryIO, refuse: _Refuse) -> tuple[int, Iterator[_Entry]]:
    """Return the dimensions and an iterator over the entries of the file."""
    start = file.read(4)
    if start == _FASTTEXT:
        refuse(
            "is a fastText model, whose subword vectors are not supported; name its .vec file, or write one:\n"
            "from gensim.models.fasttext import load_facebook_vectors\n"
            f"load_facebook_vectors({str(path)!r}).save_word2vec_format({str(path.with_suffix('.vec'))!r})"
        )
    if start[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
        refuse(f"is UTF-16; convert it: iconv -f UTF-16 -t UTF-8 {shlex.quote(str(path))} > vectors-utf8.txt")
    begin = len(codecs.BOM_UTF8) if start.startswith(codecs.BOM_UTF8) else 0
    file.seek(begin)
    header = re.fullmatch(rb"(\d+) +(\d+)\s*", file.readline(1000))
    if header is None:
        file.seek(begin)
        dims = _text_dims(file, refuse)
        file.seek(begin)
        return dims, _text(file, dims, 1, None, refuse)
    count, dims, begin = int(header[1]), int(header[2]), file.tell()
    if dims == 0:
        refuse("line 1 says 0 dimensions")
    is_text = _is_number(file.readline(100_000).rstrip(b" \r\n").rpartition(b" ")[2])
    file.seek(begin)
    return dims, _text(file, dims, 2, count, refuse) if is_text else _binary(file, dims, count, refuse)


def _text_dims(file: BinaryIO, refuse: _Refuse) -> int:
    """Return the numbers per line, by majority of the first lines, as GloVe's words may contain spaces."""
    widths = Counter(line.rstrip(b" \r\n").count(b" ") for line in islice(file, _LOOK_AHEAD) if line.strip())
    dims = widths.most_common(1)[0][0] if widths else 0
    if dims == 0:
        refuse("holds no word vectors: lines must be a word and numbers, with single spaces between them")
    return dims


def _text(file: BinaryIO, dims: int, first: int, count: int | None, refuse: _Refuse) -> Iterator[_Entry]:
    position, n = file.tell(), 0
    for number, line in enumerate(file, start=first):
        position += len(line)
        stripped = line.rstrip(b" \r\n")
        if stripped:
            n += 1
            word, row = _split(stripped, dims, number, refuse)
            yield position, f"line {number}", word, row
    if count is not None and n != count:
        refuse(f"line 1 says {count:,} words, the file has {n:,}; copy it again")


def _split(line: bytes, dims: int, number: int, refuse: _Refuse) -> tuple[bytes, np.ndarray]:
    word, *numbers = line.rsplit(b" ", dims)
    extra = word.rpartition(b" ")[2] if b" " in word else b""
    if len(numbers) != dims or _is_number(extra):  # a word may contain spaces; one that ends in a number is suspect
        n_numbers = len(line.split(b" ")) - 1
        refuse(f"line {number} has {n_numbers} numbers, the others have {dims}")
    if not word or word != word.strip(b" "):
        refuse(f"line {number} has no word, or more than one space, before its first number")
    try:
        with np.errstate(over="ignore"):  # refused as not finite
            return word, np.array(numbers, dtype="<f4")
    except ValueError:
        wrong = next(text for text in numbers if not _is_number(text))
        refuse(f"line {number} has {wrong.decode('utf-8', 'replace')[:40]!r} where a number should be")


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _binary(file: BinaryIO, dims: int, count: int, refuse: _Refuse) -> Iterator[_Entry]:
    position, width = file.tell(), 4 * dims
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number in range(1, count + 1):
            space = data.find(b" ", position)
            end = space + 1 + width
            if space < 0 or end > len(data):
                refuse(f"ends within word {number:,} of {count:,}; copy it again")
            # word2vec ends each vector with a line end, gensim does not
            word = data[position:space].lstrip(b"\n")
            yield end, f"word {number:,}", word, np.frombuffer(data[space + 1 : end], dtype="<f4")
            position = end
        if data[position:].strip(b"\n"):
            refuse(f"goes on after the {count:,} words that line 1 says; copy it again")
