"""Test that unusual tokenizers are distilled as by model2vec 0.10, or refused with one message."""

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from model2vec.distill import distill_from_model
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from m2v_bench import StaticModel, distill
from m2v_bench.distillation.dialects import DIALECTS
from m2v_bench.distillation.weighting import WEIGHTINGS, Tokens, Weighting
from m2v_bench.errors import BenchError

SPECIAL = {
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = [*SPECIAL.values(), "good", "bad", "cat", "dog", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
TEXTS = [
    "good kitten cat",
    "a [MASK] <ent> dog",
    "new york puppy",
    "日本 😀 zebra",
    "",
    "[CLS] kitten [UNK] [PAD]",
    "a b KITTEN",
]


@dataclass(frozen=True)
class Odd:
    """A tokenizer, and the number of rows that its model has beyond the tokens."""

    declared: dict[str, str] = field(default_factory=lambda: dict(SPECIAL))
    unknown: str = "[UNK]"
    vocabulary: Sequence[str] = ()
    added: Sequence[Any] = ()
    special: Sequence[str] = ()
    hole: bool = False
    more_rows: int = 0

    def load(self) -> tuple[BertModel, PreTrainedTokenizerFast]:
        vocabulary = {token: id_ for id_, token in enumerate([*TOKENS, *self.vocabulary])}
        if self.hole:
            vocabulary["kitten"] = len(vocabulary) + 3
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=self.unknown))
        tokenizer.normalizer = normalizers.BertNormalizer()
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.add_special_tokens(list(SPECIAL.values()))
        ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
        loaded = PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=128, **self.declared)
        loaded.add_tokens(list(self.added))
        loaded.add_special_tokens({"additional_special_tokens": list(self.special)})
        torch.manual_seed(0)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        return BertModel(BertConfig(vocab_size=len(loaded) + self.more_rows, **sizes)).eval(), loaded


def without(*names: str) -> dict[str, str]:
    return {name: token for name, token in SPECIAL.items() if name not in names}


ODD: dict[str, tuple[Odd, list[str] | None]] = {
    "plain": (Odd(), None),
    "unknown token in tokenizer.json alone": (Odd(declared=without("unk_token")), None),
    "padding token in tokenizer.json alone": (Odd(declared=without("pad_token")), None),
    "special tokens in tokenizer.json alone": (Odd(declared={}), None),
    "two unknown tokens": (Odd(unknown="[MASK]"), None),
    "padded matrix": (Odd(more_rows=10), None),
    "added word": (Odd(added=["kitten"]), None),
    "added word asked for": (Odd(added=["kitten"]), ["kitten"]),
    "added word among others": (Odd(added=["kitten"]), ["kitten", "puppy"]),
    "added words of several parts": (
        Odd(added=[AddedToken("new york", lstrip=True)]),
        ["new york", "foo-bar", "puppy"],
    ),
    "added word that is a subword": (Odd(vocabulary=["kitten"], added=["kitten"]), ["kitten", "puppy"]),
    "added special token": (Odd(special=["<ent>"]), ["<ent>", "puppy", "[MASK]", "[CLS]", "mask"]),
    "added, matrix not resized": (Odd(added=["kitten"], more_rows=-1), None),
    "added word asked for, matrix not resized": (Odd(added=["kitten"], more_rows=-1), ["kitten", "puppy"]),
    "hole in the ids": (Odd(hole=True, more_rows=4), None),
    "words that fold together": (Odd(), ["KITTEN", "Puppy", "puppy", "cat", "", " ", "a b", "a  b"]),
    "words without known pieces": (Odd(), ["[UNK]", "unk", "日本", "😀"]),
}


@pytest.mark.parametrize("name", ODD)
def test_result_matches_model2vec(name: str):
    odd, words = ODD[name]
    model, tokenizer = odd.load()
    with contextlib.redirect_stderr(io.StringIO()):  # a progress bar
        theirs = distill_from_model(
            model=model, tokenizer=tokenizer, vocabulary=words, pca_dims=None, device="cpu", quantize_to="float32"
        )
    ours = tiny(odd, words)
    assert ours.tokens == tuple(theirs.tokens)
    np.testing.assert_allclose(ours.table, theirs.embedding, atol=1e-5)
    for fast in (False, True if ours.fast_path() else None):
        np.testing.assert_allclose(ours.encode(TEXTS, fast=fast), theirs.encode(TEXTS), atol=1e-5)


def tiny(odd: Odd, words: Any = None, **settings: Any) -> StaticModel:
    model, tokenizer = odd.load()
    settings = {"pca_dims": None, "quantize_to": "float32", **settings}
    return distill(model, tokenizer=tokenizer, vocabulary=words, show_progress=False, **settings)


@pytest.mark.parametrize("embeddings", ["output", "input"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_token_without_a_row_is_refused(dialect: str, embeddings: str):
    with pytest.raises(
        BenchError, match=r"token 'kitten' the id 64, .* rows 0 to 61\. .*resize_token_embeddings\(65\)"
    ):
        tiny(Odd(hole=True), dialect=dialect, embeddings=embeddings)
    beyond = Odd(special=["<ent>"], more_rows=-1)
    if DIALECTS[dialect].surgery == "extended":  # keeps special tokens
        with pytest.raises(BenchError, match=r"token '<ent>' the id 61, but its embedding matrix has rows 0 to 60"):
            tiny(beyond, dialect=dialect, embeddings=embeddings)
    else:
        assert "<ent>" not in tiny(beyond, dialect=dialect, embeddings=embeddings).tokens
    model, tokenizer = beyond.load()
    model.resize_token_embeddings(62)  # as the message says
    assert len(distill(model, tokenizer=tokenizer, pca_dims=None, dialect=dialect, show_progress=False).tokens) > 50


def test_unknown_token_outside_the_vocabulary_is_refused():
    with pytest.raises(BenchError, match=r"has no token '\[NOPE\]' for unknown words"):
        tiny(Odd(unknown="[NOPE]", declared=without("unk_token")))


def broken(row: int, value: float) -> tuple[BertModel, PreTrainedTokenizerFast]:
    model, tokenizer = Odd().load()
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[row] = value
    return model, tokenizer


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("settings", [{}, {"embeddings": "input"}, {"embeddings": "input", "pca_dims": 4}])
def test_token_with_a_non_finite_vector_is_refused(value: float, settings: dict[str, Any]):
    model, tokenizer = broken(TOKENS.index("cat"), value)
    settings = {"pca_dims": None, "show_progress": False, **settings}
    with pytest.raises(BenchError, match=r"the vector of token 'cat' is not finite.*token_remove_pattern=") as error:
        distill(model, tokenizer=tokenizer, **settings)
    remove = json.loads(str(error.value).rpartition("token_remove_pattern=")[2].rstrip("'").replace("\\", "\\\\"))
    static = distill(model, tokenizer=tokenizer, token_remove_pattern=remove, **settings)  # as the message says
    assert np.isfinite(static.table).all()
    assert "cat" not in static.tokens
    assert "c" in static.tokens


@pytest.mark.parametrize("dialect", DIALECTS)
def test_overflowing_number_type_is_refused(dialect: str):
    model, tokenizer = Odd().load()
    with torch.no_grad():
        model.encoder.layer[-1].output.LayerNorm.weight.mul_(1e6)
    settings = {"pca_dims": None, "dialect": dialect, "weighting": "none", "show_progress": False}
    with pytest.raises(BenchError, match=r"quantize_to=float16: token '.*' reaches .*set quantize_to=float32"):
        distill(model, tokenizer=tokenizer, **settings)
    for dtype in ("float32", "int8"):
        assert np.isfinite(distill(model, tokenizer=tokenizer, quantize_to=dtype, **settings).table).all()


def test_non_finite_weight_is_refused(monkeypatch: pytest.MonkeyPatch):
    def log_of_index(tokens: Tokens, _: float) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(np.arange(tokens.n))

    monkeypatch.setitem(WEIGHTINGS, "broken", Weighting(log_of_index, uses_coefficient=False, uses_corpus=False))
    with pytest.raises(BenchError, match=r"weighting=broken: the weight of token '\[UNK\]' is -inf, not finite"):
        tiny(Odd(), weighting="broken")


UNORDERED: dict[str, tuple[Any, str]] = {
    "set": ({"kitten", "puppy"}, r"vocabulary is a set, which has no order; .* sorted\(vocabulary\)"),
    "frozenset": (frozenset({"kitten"}), "vocabulary is a frozenset, which has no order"),
    "dict of counts": ({"kitten": 5, "puppy": 3}, "vocabulary is a dict; pass a list"),
    "None": (["kitten", None], r"vocabulary\[1\] is None \(NoneType\); every word must be a str"),
    "missing cell": (["kitten", float("nan")], r"vocabulary\[1\] is nan \(float\)"),
    "number": (["kitten", 5], r"vocabulary\[1\] is 5 \(int\)"),
    "bytes": (["kitten", b"puppy"], r"vocabulary\[1\] is b'puppy' \(bytes\)"),
    "half of a surrogate pair": (["kitten", "\ud83d"], r"vocabulary\[1\] has half of a surrogate pair"),
    "empty": ([], "the list of words is empty"),
}


@pytest.mark.parametrize("name", UNORDERED)
def test_unordered_or_incomplete_vocabulary_is_refused(name: str):
    words, message = UNORDERED[name]
    with pytest.raises(BenchError, match=message):
        tiny(Odd(), words)


def test_vocabulary_keeps_its_order_for_any_sequence():
    import pandas as pd

    words = ["puppy", "kitten", "zebra"]
    expected = tiny(Odd(), words)
    assert expected.tokens[-3:] == tuple(words)
    series = pd.Series(words, index=[2, 0, 1])
    for given in (tuple(words), iter(words), np.array(words), series, dict.fromkeys(words).keys(), map(np.str_, words)):
        model = tiny(Odd(), given)
        assert model.tokens == expected.tokens
        assert (model.table == expected.table).all()
    assert tiny(Odd(), series.sort_index()).tokens[-3:] == ("kitten", "zebra", "puppy")


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({"pca_dims": np.int64(4)}, {"pca_dims": 4}),
        ({"pca_dims": np.float64(0.5)}, {"pca_dims": 0.5}),
        ({"sif_coefficient": np.float64(1e-3)}, {"sif_coefficient": 1e-3}),
        ({"seed": np.uint32(7), "vocabulary_quantization": np.int32(9)}, {"seed": 7, "vocabulary_quantization": 9}),
        ({"words": ["kitten", "puppy"], "vocabulary_size": np.int16(1)}, {"words": ["kitten"]}),
    ],
)
def test_numpy_numbers_are_accepted(given: dict[str, Any], plain: dict[str, Any]):
    model, expected = (tiny(Odd(), **settings) for settings in (given, plain))
    assert (model.table == expected.table).all()
    assert model.config["revision"] == expected.config["revision"] or "words" in given
    json.dumps(model.config)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pca_dims": 4.0}, "pca_dims=4.0: not a PCA size"),
        ({"pca_dims": np.float32("nan")}, "pca_dims=nan: not a PCA size"),
        ({"pca_dims": True}, "pca_dims=True: not a PCA size"),
        ({"sif_coefficient": np.nan}, "sif_coefficient=nan: must lie between 0 and 1"),
        ({"sif_coefficient": "1e-4"}, "sif_coefficient=1e-4: must lie"),
        ({"vocabulary_quantization": 2.5}, "vocabulary_quantization=2.5: not a whole number"),
        ({"seed": 1.5}, "seed=1.5: must lie between"),
        ({"words": ["kitten"], "vocabulary_size": "10"}, "vocabulary_size='10': not a whole number"),
    ],
)
def test_invalid_numbers_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(BenchError, match=message):
        tiny(Odd(), **settings)
