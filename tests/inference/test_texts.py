"""Check that containers of texts are read in order, or refused with the position."""

from collections import deque
from collections.abc import Callable
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from m2v_bench import StaticModel
from m2v_bench.errors import BenchError
from tests.conftest import tiny_static_model

TEXTS = ["good", "a zebra cat", "bad dog", "", "dog", "zebra", "cat"]
SHUFFLED = [3, 1, 6, 0, 2, 5, 4]

Make = Callable[[list[str]], Any]
KINDS: dict[str, Make] = {
    "tuple": tuple,
    "deque": deque,
    "generator": lambda texts: (text for text in texts),
    "map": lambda texts: map(str, texts),
    "values of a dict": lambda texts: dict(enumerate(texts)).values(),
    "strings of numpy": lambda texts: [np.str_(text) for text in texts],
    "array": np.array,
    "array of objects": lambda texts: np.array(texts, object),
    "array of variable strings": lambda texts: np.array(texts, np.dtypes.StringDType()),
    "Series": pd.Series,
    "shuffled Series": lambda texts: pd.Series(texts, index=np.argsort(np.argsort(texts))[::-1]),
    "Series by name": lambda texts: pd.Series(texts, index=[f"row {number % 3}" for number in range(len(texts))]),
    "Series without its first row": lambda texts: pd.Series(["dropped", *texts]).drop(index=[0]),
    "Series of Arrow": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "categories": lambda texts: pd.Series(texts).astype("category"),
    "Index": pd.Index,
    "column of a frame": lambda texts: (
        pd.DataFrame({"text": texts}).sample(frac=1, random_state=0).sort_index()["text"]
    ),
    "Arrow": pa.array,
    "chunks of Arrow": lambda texts: pa.chunked_array([texts[:1], texts[1:]], pa.string()),
    "column of datasets": lambda texts: datasets.Dataset.from_dict({"text": texts})["text"],
}


def methods(model: StaticModel) -> dict[str, Callable[..., Any]]:
    return {"encode": model.encode, "tokenize": model.tokenize, "sequence": model.encode_as_sequence}


def as_bytes(rows: Any) -> Any:
    return [row.tobytes() if isinstance(row, np.ndarray) else row for row in rows]


@pytest.fixture(scope="module")
def model() -> StaticModel:
    return tiny_static_model()


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_container_is_read_in_order(model: StaticModel, kind: str, fast: bool):
    for method in methods(model).values():
        assert as_bytes(method(KINDS[kind](TEXTS), fast=fast)) == as_bytes(method(TEXTS, fast=False))


def test_a_series_is_read_in_order_once_compiled_loops_are_loaded():
    model = tiny_static_model()
    model.encode(["good cat " * 20] * 6000)
    series = pd.Series(TEXTS, index=SHUFFLED)
    assert (model.encode(series) == model.encode(TEXTS, fast=False)).all()


def test_a_series_of_several_batches_is_read_in_order(model: StaticModel):
    texts = ["good cat"] * 8999 + ["a zebra dog"]
    for fast in (True, False):
        assert (model.encode(pd.Series(texts), fast=fast)[-1] == model.encode("a zebra dog")).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    texts=st.lists(st.text(st.sampled_from("god bcatz\0é\U0001f600"), max_size=12), min_size=2),
    kind=st.sampled_from(sorted(KINDS)),
)
def test_random_texts_in_any_container(texts: list[str], kind: str):
    model = _shared_model()
    if kind.startswith("array") and any(text.endswith("\0") for text in texts):
        return  # numpy itself drops them
    container = KINDS[kind](texts)
    assert (model.encode(container, fast=True) == model.encode(texts, fast=False)).all()


_models: list[StaticModel] = []


def _shared_model() -> StaticModel:
    if not _models:
        _models.append(tiny_static_model())
    return _models[0]


@pytest.mark.parametrize("fast", [True, False])
def test_one_string_is_one_text(model: StaticModel, fast: bool):
    for text in ("cat dog", "", np.str_("cat dog")):
        assert model.encode(text, fast=fast).shape == (8,)
        assert model.tokenize(text, fast=fast) == model.tokenize([text], fast=fast)[0]
        assert (model.encode_as_sequence(text, fast=fast) == model.encode_as_sequence([text], fast=fast)[0]).all()
    assert model.tokenize("cat dog", fast=fast) == [4, 5]
    assert model.tokenize("zebra", fast=fast) == []


REFUSED: dict[str, tuple[Any, str]] = {
    "set": ({"cat", "dog"}, r"texts is a set, which has no order; .* sorted\(texts\)"),
    "frozenset": (frozenset(["cat"]), "texts is a frozenset, which has no order"),
    "dict": ({"a": "cat"}, r"texts is a dict; .* list\(texts.values\(\)\)"),
    "bytes": (b"cat", "texts is bytes; decode it first"),
    "frame": (pd.DataFrame({"body": TEXTS}), r"texts is a DataFrame; .* texts\['body'\]"),
    "table of Arrow": (pa.table({"body": TEXTS}), r"texts is a Table; .* texts\['body'\]"),
    "dataset": (datasets.Dataset.from_dict({"body": TEXTS}), r"texts is a Dataset; .* texts\['body'\]"),
    "matrix": (np.array([TEXTS]), r"texts is a ndarray of shape \(1, 7\)"),
    "scalar": (np.array("cat"), r"texts is a ndarray of shape \(\)"),
    "number": (5, r"texts is 5 \(int\)"),
    "None": (None, r"texts is None \(NoneType\)"),
    "None inside": (["cat", None], r"texts\[1\] is None \(NoneType\); every text must be a str"),
    "missing cell": (pd.Series(["cat", np.nan], index=[7, 3]), r"texts\[1\] is nan \(float\)"),
    "missing string": (pd.Series(["cat", None], dtype="string"), r"texts\[1\] is <NA> \(NAType\)"),
    "null of Arrow": (pa.array(["cat", None]), r"texts\[1\] is None \(NoneType\)"),
    "number inside": (["cat", 5], r"texts\[1\] is 5 \(int\)"),
    "bytes inside": ([b"cat"], r"texts\[0\] is b'cat' \(bytes\)"),
    "array of bytes": (np.array([b"cat"]), r"texts\[0\] is b'cat' \(bytes\)"),
    "pair": ([("cat", "dog")], r"texts\[0\] is \('cat', 'dog'\) \(tuple\)"),
    "list in a cell": (pd.Series([["cat"], ["dog"]]), r"texts\[0\] is \['cat'\] \(list\)"),
}


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("kind", REFUSED)
def test_anything_else_is_refused(model: StaticModel, kind: str, fast: bool):
    texts, message = REFUSED[kind]
    for method in methods(model).values():
        with pytest.raises(TypeError, match=message):
            method(texts, fast=fast)


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize(("half", "at"), [("\ud83d cat", 0), ("cat \udc00", 4), ("a\udcff", 1)])
def test_half_of_a_surrogate_pair_is_refused_with_its_position(model: StaticModel, half: str, at: int, fast: bool):
    texts = ["cat"] * 300 + [half]
    for method in methods(model).values():
        with pytest.raises(BenchError, match=rf"texts\[300\] has half of a surrogate pair, .*, at character {at}"):
            method(texts, fast=fast)
    repaired = half.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # as the message says
    assert model.encode([repaired], fast=fast).shape == (1, 8)


@pytest.mark.parametrize("number", [np.int64(2), np.uint8(2), np.array(2), 2])
def test_numpy_integers_are_accepted(model: StaticModel, number: Any):
    texts = ["cat dog good"]
    assert (model.encode(texts, max_length=number) == model.encode(texts, max_length=2)).all()
    assert (model.encode(texts, batch_size=number) == model.encode(texts)).all()


@pytest.mark.parametrize("number", [2.0, "2", True, np.float32(2), "longest"])
def test_anything_but_a_whole_number_is_refused(model: StaticModel, number: Any):
    with pytest.raises(BenchError, match=f"max_length={number!r}".replace("(", r"\(").replace(")", r"\)")):
        model.encode(["cat"], max_length=number)
    with pytest.raises(BenchError, match="batch_size="):
        model.encode(["cat"], batch_size=number)
