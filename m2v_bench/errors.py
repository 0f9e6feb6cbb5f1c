"""Errors about user input, and helpers for their messages."""

import operator
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_HYDRA_LITERALS = ("null", "true", "false", "nan", "inf")


class BenchError(Exception):
    """A mistake in the input or the environment, whose message names the setting and the fix.

    `__main__` and the console script print only the message and exit with 1; any other exception is a bug.
    """


def check_seed(seed: int) -> int:
    """Check a seed for numpy's generators, which may be a numpy integer.

    Raises:
        BenchError: naming the seed and what is allowed.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**32:
        raise BenchError(f"seed={seed}: must lie between 0 and 2**32 - 1")
    return number


def plain_number(value: Any) -> Any:
    """Convert a numpy or pandas number to a Python number; return anything else unchanged."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def whole_number(setting: str, value: Any, *, least: int, instead: str = "") -> int:
    """Check a whole number, including numpy and pandas integers.

    Args:
        setting: name of the setting in the message.
        value: the user's value.
        least: the smallest allowed value.
        instead: an allowed alternative, for the message.

    Raises:
        BenchError: for anything that is not a whole number, and for one below `least`.
    """
    allowed = f"must be at least {least}" + (f", or {instead}" if instead else "")
    try:
        number = operator.index(value)
    except TypeError:
        raise BenchError(f"{setting}={value!r}: not a whole number; {allowed}") from None
    if isinstance(value, bool) or number < least:
        raise BenchError(f"{setting}={value}: {allowed}")
    return number


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` Did you mean X?` if a known name is similar, else an empty string."""
    import difflib

    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def override(name: str, value: str) -> str:
    """Return `name=value` quoted for Hydra and the shell where needed."""
    return shlex.quote(f"{name}={hydra_value(value)}")


def hydra_value(value: str) -> str:
    """Return a text as a value in Hydra's grammar, quoted if needed.

    Hydra reads a backslash literally unless a quote or the end follows; `${` would start an interpolation.
    """
    if not re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_/.-]*", value) or value.lower() in _HYDRA_LITERALS:
        inner = re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + (match[2] and f"\\{match[2]}"), value)
        return f'"{inner.replace("${", chr(92) + "${")}"'
    return value


def refuse_lfs_pointer(path: Path, setting: str = "") -> None:
    """Refuse a Git LFS pointer, which a clone without Git LFS leaves in place of a file; call before reading.

    Args:
        path: an existing file.
        setting: the setting that names the file, for the error: `base_model.name=FOLDER`.

    Raises:
        BenchError: with the command that fetches the file.
    """
    with path.open("rb") as file:
        start = file.read(100)
    if re.match(rb"version \S*git-lfs\.\S*/spec/", start):
        raise BenchError(
            f"{setting}{': ' if setting else ''}{path} is a Git LFS pointer, not the file itself; fetch the file with "
            f"`git -C {shlex.quote(str(path.parent))} lfs pull`"
        )
