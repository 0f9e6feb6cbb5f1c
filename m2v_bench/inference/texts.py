"""Read texts from any ordered container as a list of `str`."""

from collections.abc import Iterable, KeysView, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from m2v_bench.errors import BenchError

_COMBINE = 'text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")'


def as_list(texts: Iterable[str], name: str = "texts") -> list[str]:
    """Return texts as a list, in the order in which they are stored.

    Accepts lists, tuples, generators, one-dimensional arrays of strings or objects, and columns of pandas, polars,
    Arrow and `datasets`. An index is ignored. The items are not checked; `check` does that.

    Args:
        texts: the texts.
        name: their name in messages.

    Raises:
        TypeError: for a container without an order, and for a table instead of a column.
    """
    kind = type(texts)
    if kind is list:
        return texts  # type: ignore[return-value]
    if isinstance(texts, bytes | bytearray):
        raise TypeError(f"{name} is {kind.__name__}; decode it first: {name}.decode('utf-8')")
    if isinstance(texts, Mapping):
        raise TypeError(f"{name} is a {kind.__name__}; pass a list, such as list({name}.values())")
    if isinstance(texts, AbstractSet) and not isinstance(texts, KeysView):  # which keeps the order of its dict
        raise TypeError(f"{name} is a {kind.__name__}, which has no order; pass a list, such as sorted({name})")
    if columns := _columns(texts):
        listed = ", ".join(map(str, columns[:10]))
        raise TypeError(
            f"{name} is a {kind.__name__}; pass one of its columns, such as {name}[{columns[0]!r}] ({listed})"
        )
    shape = getattr(texts, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        raise TypeError(f"{name} is a {kind.__name__} of shape {shape}; it must have one dimension")
    for method in ("to_pylist", "to_list", "tolist"):  # Arrow; polars and pandas; numpy
        convert = getattr(texts, method, None)
        if callable(convert):
            return list(convert())
    if kind.__module__.startswith("datasets."):  # reading its columns item by item takes 80 times as long
        return list(texts[:])  # type: ignore[index]
    if not isinstance(texts, Iterable):
        raise TypeError(f"{name} is {texts!r} ({kind.__name__}); pass a list of str")
    return list(texts)


def _columns(texts: Any) -> list[Any]:
    """Return the columns of a table of pandas, polars, Arrow, `datasets` or numpy records; empty for anything else."""
    for name in ("column_names", "columns"):  # the `columns` of Arrow are arrays
        columns = getattr(texts, name, None)
        if columns is not None and not callable(columns):
            return list(columns) or ["NAME"]
    names = getattr(getattr(texts, "dtype", None), "names", None)
    return list(names or [])


def check(texts: Sequence[Any], name: str = "texts", noun: str = "text") -> None:
    """Refuse items that cannot be tokenized, naming the first one.

    Args:
        texts: the items.
        name: name of the container in messages.
        noun: name of an item in messages.

    Raises:
        TypeError: for an item that is not a `str`: a missing cell, a number, bytes, a list.
        BenchError: for half of a surrogate pair, which UTF-8 cannot hold.
    """
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise TypeError(
                f"{name}[{number}] is {text!r} ({type(text).__name__}); every {noun} must be a str "
                "(fill or drop missing ones first)"
            )
        if (at := lone_surrogate(text)) is not None:
            raise BenchError(
                f"{name}[{number}] has half of a surrogate pair, {text[at]!r}, at character {at}, which UTF-8 cannot "
                f"hold; repair it: {_COMBINE}"
            )


def lone_surrogate(text: str) -> int | None:
    """Return the position of the first surrogate in `text`; None without one."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return error.start
    return None
