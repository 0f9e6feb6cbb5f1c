"""Standard output that never costs a result: no encoding, closed pipe or full disk behind it ends a run."""

import codecs
import os
import sys
from contextlib import suppress
from typing import Any, TextIO

_NAME = "m2v_bench.plain"
# what tables and messages have beyond ASCII; the rest becomes "?"
_PLAIN = {"†": "+", "–": "-", "×": "x", "±": "+/-", "→": "->", "…": "...", "≥": ">=", "≤": "<=", "·": ".", "−": "-"}


def steady() -> None:
    """Make standard output and error steady, in this process, for good."""
    codecs.register_error(_NAME, _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or isinstance(stream, _Steady):
            continue
        with suppress(AttributeError, ValueError):  # a stream of somebody else's, as of a notebook
            stream.reconfigure(errors=_NAME)
        setattr(sys, name, _Steady(stream))


def _plain(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(character, "?") for character in error.object[error.start : error.end]), error.end


class _Steady:
    """A text stream that is given up, and no more written to, once it cannot be written."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        # what the stream still holds would be tried again at the end of the process
        with suppress(OSError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)
