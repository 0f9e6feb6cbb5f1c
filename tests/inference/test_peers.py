"""Compare both paths with model2vec and sentence-transformers on random models and texts."""

from typing import Any

import model2vec
import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from m2v_bench import StaticModel

LETTERS = "abcdé"
WORDS = ["ab", "cd", "abc", "##b", "##cd", "日", "😀", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
TEXTS = st.lists(
    st.text(st.sampled_from(LETTERS + "ABz 日😀\0\n\t.'\u0301\u200d"), max_size=40), min_size=1, max_size=6
)
LENGTHS = st.sampled_from([None, 1, 2, 3, 8, 512])


def tokenizer(kind: str) -> Tokenizer:
    vocabulary = {token: id_ for id_, token in enumerate(["[PAD]", "[UNK]", *WORDS])}
    if kind == "WordPiece":
        built = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=9))
        built.normalizer, built.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    elif kind == "WordLevel":
        built = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        built.normalizer, built.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    elif kind == "Unigram":
        scored = [(token, -1.0 - id_ / 10) for token, id_ in vocabulary.items()]
        built = Tokenizer(models.Unigram(scored, unk_id=1, byte_fallback=False))
        built.pre_tokenizer = pre_tokenizers.Metaspace()
    else:
        alphabet = {character: id_ for id_, character in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        built = Tokenizer(models.BPE({**alphabet, "ab": 256, "abc": 257}, [("a", "b"), ("ab", "c")]))
        built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return built


TOKENIZERS = {kind: tokenizer(kind) for kind in ("WordPiece", "WordLevel", "Unigram", "BPE")}


@st.composite
def parts(draw: st.DrawFn, *, plain: bool = False) -> dict[str, Any]:
    """Draw the parts of a static model; `plain` ones are float32 rows, one per token."""
    split = TOKENIZERS[draw(st.sampled_from(sorted(TOKENIZERS)))]
    rng, n = np.random.default_rng(draw(st.integers(0, 9))), split.get_vocab_size()
    shared = not plain and draw(st.booleans())
    table = (rng.normal(size=(5 if shared else n, draw(st.sampled_from([1, 3, 8])))) * 20).astype(
        np.float32 if plain else draw(st.sampled_from([np.float32, np.float16, np.int8]))
    )
    return {
        "table": table,
        "tokenizer": split,
        "mapping": rng.integers(0, 5, n) if shared else None,
        "weights": rng.random(n).astype(np.float32) if shared else None,
    }


@settings(max_examples=60, deadline=None, derandomize=True)
@given(parts(), st.booleans(), LENGTHS, TEXTS)
def test_both_paths_give_what_model2vec_gives(
    parts: dict[str, Any], normalize: bool, max_length: int | None, texts: list[str]
):
    ours = StaticModel(**parts, normalize=normalize, max_length=max_length)
    theirs = model2vec.StaticModel(
        parts["table"],
        parts["tokenizer"],
        normalize=normalize,
        weights=parts["weights"],
        token_mapping=parts["mapping"],
        max_length=max_length,
    )
    expected = theirs.encode(texts, max_length=max_length)
    for fast in (False, True):
        embeddings = ours.encode(texts, fast=fast)
        np.testing.assert_allclose(
            embeddings, expected, rtol=1e-3 if parts["table"].dtype == np.float16 else 1e-5, atol=1e-5
        )
        assert (embeddings == np.stack([ours.encode(text, fast=fast) for text in texts])).all()
    assert (ours.encode(texts, fast=True) == ours.encode(texts, fast=False)).all()
    rows = ours.encode_as_sequence(texts)
    for row, correct in zip(rows, theirs.encode_as_sequence(texts), strict=True):
        np.testing.assert_allclose(row, correct, rtol=1e-3, atol=1e-5)
    assert ours.tokenize(texts, max_length=None) == theirs_ids(theirs, texts)


def theirs_ids(model: model2vec.StaticModel, texts: list[str]) -> list[list[int]]:
    model.tokenizer.no_truncation()
    return model.tokenize(texts)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(parts(plain=True), LENGTHS, TEXTS)
def test_both_paths_give_what_sentence_transformers_gives(
    parts: dict[str, Any], max_length: int | None, texts: list[str]
):
    split = Tokenizer.from_str(parts["tokenizer"].to_str())
    if max_length is not None:
        split.enable_truncation(max_length)
    theirs = StaticEmbedding(split, torch.tensor(parts["table"]))
    with torch.no_grad():
        expected = theirs.forward(theirs.preprocess(texts))["sentence_embedding"].numpy()
    ours = StaticModel(**parts, normalize=False, max_length=max_length, rules="sentence-transformers")
    for fast in (False, True):
        np.testing.assert_allclose(ours.encode(texts, fast=fast), expected, rtol=1e-5, atol=1e-5)
