"""Standard output that survives encoding errors, closed pipes and full disks, so that they never end a run."""

import codecs
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

_NAME = "m2v_bench.plain"
# non-ASCII characters of tables and messages; others become "?"
_PLAIN = {"†": "+", "–": "-", "×": "x", "±": "+/-", "→": "->", "…": "...", "≥": ">=", "≤": "<=", "·": ".", "−": "-"}


def steady() -> None:
    """Replace standard output and error by streams that do not raise."""
    codecs.register_error(_NAME, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Steady):
            continue
        with suppress(AttributeError, ValueError):  # a foreign stream, e.g. in a notebook
            stream.reconfigure(errors=_NAME)
        setattr(sys, name, _Steady(stream))


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


class _Steady:
    """Text stream that drops output after its first write error.

    Attributes:
        lost: whether output was dropped while its reader was still there.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError as error:
            self._give_up(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        if not isinstance(error, BrokenPipeError) and self is sys.stdout:  # a broken pipe means nobody reads on
            self.lost = True
            print(f"standard output cannot be written ({error.strerror}); the rest is lost", file=sys.stderr)
        # without this, the stream's buffer would be flushed again, and fail, at exit
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
