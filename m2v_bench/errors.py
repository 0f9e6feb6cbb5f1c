import difflib
import operator
import re
import shlex
from collections.abc import Iterable
from typing import Any

_HYDRA_WORDS = ("null", "true", "false", "nan", "inf")


class BenchError(Exception):
    """A mistake in the input or the surroundings, told in one message that names the setting and the fix.

    `__main__` and the console script print its text alone and exit with 1; every other exception is a
    defect of this program.
    """


def check_seed(seed: int) -> int:
    """Check a seed of numpy's generators, which may be a number of numpy's own.

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
    """A number of numpy or pandas as Python's own; anything else as it is."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def whole_number(setting: str, value: Any, *, least: int, instead: str = "") -> int:
    """Check a whole number, also one of numpy or pandas.

    Args:
        setting: the name that the message gives.
        value: what the user set.
        least: the smallest value allowed.
        instead: what else is allowed, for the message.

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
    """` Did you mean X?` when a known name is near, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""


def override(name: str, value: str) -> str:
    """`name=value` as one types it in a shell, quoted for Hydra's grammar and for the shell where they need it."""
    return shlex.quote(f"{name}={hydra_value(value)}")


def hydra_value(value: str) -> str:
    """A text as a value in Hydra's grammar, quoted where it needs quotes.

    Hydra reads a backslash as itself unless quotes or the end follow; `${` would begin an interpolation.
    """
    if not re.fullmatch(r"[A-Za-z_/][A-Za-z0-9_/.-]*", value) or value.lower() in _HYDRA_WORDS:
        inner = re.sub(r'(\\*)("|$)', lambda match: match[1] * 2 + (match[2] and f"\\{match[2]}"), value)
        return f'"{inner.replace("${", chr(92) + "${")}"'
    return value
