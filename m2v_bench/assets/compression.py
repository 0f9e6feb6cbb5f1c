"""Open compressed files, recognized by content rather than name."""

import bz2
import gzip
import io
import lzma
import shlex
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

COMPRESSED = (".gz", ".bz2", ".xz", ".zip")
_REFUSED = {b"\x28\xb5\x2f\xfd": "zstd -d", b"7z\xbc\xaf\x27\x1c": "7z x", b"\x04\x22\x4d\x18": "lz4 -d"}


def plain_suffix(path: Path) -> str:
    """Return the last suffix in lower case, ignoring one of a compression: `.csv` for `A.CSV.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in (*COMPRESSED, ".zst", ".7z", ".lz4") else suffix


def is_compressed(path: Path) -> bool:
    """Return whether the file is compressed, in a way that `open_unpacked` reads or refuses."""
    return bool(_compression(path))


def open_unpacked(path: Path, refuse: Callable[[str], NoReturn]) -> BinaryIO:
    """Open a file for reading, decompressed if it is a gzip, bzip2, xz or zip file.

    Args:
        path: the file.
        refuse: raises an error about the file, called with a predicate: for another compression, and for an archive
            of several files.

    Raises:
        OSError, EOFError, ValueError: when it cannot be opened; on reading, also for damaged content.
    """
    compression = _compression(path)
    if compression in ("gz", "bz2", "xz"):
        stream = {"gz": gzip.open, "bz2": bz2.open, "xz": lzma.open}[compression](path, "rb")  # type: ignore[operator]
        return cast(BinaryIO, io.BufferedReader(_Checked(stream)))
    if compression == "zip":
        return cast(BinaryIO, io.BufferedReader(_Checked(_only_member(path, refuse))))
    if compression:
        refuse(f"has an unsupported compression; unpack it first: {compression} {shlex.quote(str(path))}")
    return path.open("rb")


def _compression(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(10)
    for name, magic in (("gz", b"\x1f\x8b"), ("xz", b"\xfd7zXZ\0"), ("zip", b"PK\3\4"), ("zip", b"PK\5\6")):
        if start.startswith(magic):
            return name
    if start.startswith(b"BZh") and start[4:10] == b"1AY&SY":
        return "bz2"
    return next((command for magic, command in _REFUSED.items() if start.startswith(magic)), "")


def _only_member(path: Path, refuse: Callable[[str], NoReturn]) -> BinaryIO:
    try:
        archive = zipfile.ZipFile(path)
        members = [
            member
            for member in archive.infolist()
            if not member.is_dir() and not member.filename.startswith("__MACOSX")
        ]
        if len(members) != 1:
            refuse(f"is an archive of {len(members)} files; unpack it and name one: unzip {shlex.quote(str(path))}")
        return cast(BinaryIO, archive.open(members[0]))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        refuse(f"cannot be unpacked: {error}")


class _Checked(io.RawIOBase):
    """A decompressed stream that raises only OSError."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        import zlib

        try:
            data = self._stream.read(len(buffer))
        except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, ValueError) as error:
            raise OSError(f"damaged compressed data ({error}); copy it again") from error
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
