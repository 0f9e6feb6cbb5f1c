import difflib
from collections.abc import Iterable


class BenchError(Exception):
    """A mistake in the input or the surroundings, told in one message that names the setting and the fix.

    `__main__` and the console script print its text alone and exit with 1; every other exception is a
    defect of this program.
    """


def check_seed(seed: int) -> None:
    """Refuse a seed that numpy's generators do not take.

    Raises:
        BenchError: naming the seed and what is allowed.
    """
    if not 0 <= seed < 2**32:
        raise BenchError(f"seed={seed}: must lie between 0 and 2**32 - 1")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """` Did you mean X?` when a known name is near, else nothing."""
    near = difflib.get_close_matches(name, list(known), n=2, cutoff=0.6)
    return f" Did you mean {' or '.join(near)}?" if near else ""
