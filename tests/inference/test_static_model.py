"""Check embeddings, sequences and token ids of static models."""

import json

import numpy as np
import pytest
from tokenizers import Tokenizer

from m2v_bench import StaticModel
from m2v_bench.errors import BenchError
from tests.conftest import tiny_static_model


def test_an_embedding_is_the_normalized_mean_of_the_known_rows():
    model = tiny_static_model()
    mean = (model.table[2] + 2 * model.table[4]) / 3  # good, cat, cat
    np.testing.assert_allclose(model.encode("Good cat zebra cat"), mean / np.linalg.norm(mean), atol=1e-6)
    model.normalize = False
    np.testing.assert_allclose(model.encode("Good cat zebra cat"), mean, atol=1e-6)


def test_a_text_without_a_known_token_is_the_zero_vector():
    embeddings = tiny_static_model().encode(["", "zebra zebra", "cat", "\x00"])
    assert (embeddings[[0, 1, 3]] == 0).all()
    assert np.linalg.norm(embeddings[2]) == pytest.approx(1)


def test_shapes_and_dtype():
    model = tiny_static_model()
    assert model.encode([]).shape == (0, 8)
    assert model.encode("cat").shape == (8,)
    assert model.encode(["cat"]).shape == (1, 8)
    assert model.encode(["cat"]).dtype == np.float32
    assert repr(model) == "StaticModel(6 rows x 8, float32, normalize=True)"


def test_batch_size_does_not_change_an_embedding():
    model = tiny_static_model()
    texts = ["cat dog", "", "good", "bad cat dog good", "zebra"] * 7
    assert (model.encode(texts, batch_size=1) == model.encode(texts, batch_size=4)).all()
    assert (model.encode(texts, batch_size=4) == model.encode(texts)).all()


def test_long_texts_are_cut_to_max_length_tokens_unknown_ones_counted():
    model = tiny_static_model(["cat", "dog", "crocodile", "hippopotamus", "rhinoceros"])
    assert model.tokenize(["z cat dog cat"], max_length=3) == [[2, 3]]
    assert len(model.tokenize(["cat " * 100], max_length=None)[0]) == 100
    assert len(model.tokenize(["cat " * 100], max_length=2)[0]) == 2


def test_weights_and_mapping_are_applied_per_token():
    full = tiny_static_model()
    weights = np.linspace(0.5, 2, 6)
    mapping = np.array([0, 1, 0, 1, 2, 2])
    shared = StaticModel(full.table[:3], full.tokenizer, normalize=False, weights=weights, mapping=mapping)
    expected = (weights[2] * full.table[0] + weights[5] * full.table[2]) / 2  # good, dog
    np.testing.assert_allclose(shared.encode("good dog"), expected, atol=1e-6)


def test_a_sequence_holds_the_rows_of_the_known_tokens_in_order():
    model = tiny_static_model()
    sequences = model.encode_as_sequence(["good zebra cat", "", "zebra"])
    assert [rows.shape for rows in sequences] == [(2, 8), (0, 8), (0, 8)]
    np.testing.assert_array_equal(sequences[0], model.table[[2, 4]])
    np.testing.assert_array_equal(model.encode_as_sequence("cat"), model.table[[4]])
    assert len(model.encode_as_sequence("cat " * 600)) == 600
    # 512 tokens of the median length, 3, are 1,536 characters
    assert len(model.encode_as_sequence("cat " * 600, max_length="model")) == 384


def test_a_sequence_is_weighted_and_mapped():
    full = tiny_static_model()
    shared = StaticModel(full.table[:3], full.tokenizer, weights=np.arange(6.0), mapping=np.array([0, 1, 0, 1, 2, 2]))
    rows = shared.encode_as_sequence("good dog")
    np.testing.assert_allclose(rows, np.stack([2 * full.table[0], 5 * full.table[2]]))
    mean = rows.mean(axis=0)
    np.testing.assert_allclose(shared.encode("good dog"), mean / np.linalg.norm(mean), atol=1e-6)


def test_max_length_is_the_models_unless_given():
    tiny = tiny_static_model()
    model = StaticModel(tiny.table, tiny.tokenizer, max_length=2)
    assert (model.encode("cat dog good") == model.encode("cat dog")).all()
    assert (model.encode("cat dog good", max_length=None) != model.encode("cat dog")).any()


@pytest.mark.parametrize("name", ["show_progress_bar", "show_progress"])
def test_a_long_list_shows_its_progress(capsys: pytest.CaptureFixture[str], name: str):
    model = tiny_static_model()
    for encode in (model.encode, model.encode_as_sequence):
        encode(["cat"] * 10, batch_size=5, **{name: True})  # type: ignore[operator]
        assert "encoding: 100%" in capsys.readouterr().err
        encode(["cat"] * 10)  # type: ignore[operator]
        assert not capsys.readouterr().err


@pytest.mark.parametrize("fast", [True, False])
def test_normalization_can_be_set_per_call(fast: bool):
    model, texts = tiny_static_model(), ["good cat", "dog", "zebra"]
    plain = StaticModel(model.table, model.tokenizer, normalize=False)
    for text in (texts, texts[0]):
        raw, unit = plain.encode(text, fast=fast), model.encode(text, fast=fast)
        assert (model.encode(text, normalize_embeddings=False, fast=fast) == raw).all()
        assert (plain.encode(text, normalize_embeddings=True, fast=fast) == unit).all()
        assert (raw != unit).any()


def test_it_has_the_names_of_model2vec_and_sentence_transformers():
    model = tiny_static_model()
    assert model.dim == model.dims == 8
    assert model.similarity(model.encode(["cat", "dog"]), model.encode("cat")).shape == (2, 1)


def test_a_table_of_the_wrong_length_is_refused():
    tiny = tiny_static_model()
    with pytest.raises(BenchError, match="6 tokens but there are rows for 5"):
        StaticModel(tiny.table[:5], tiny.tokenizer)


def test_a_byte_fallback_tokenizer_has_no_unknown_token_to_drop():
    from tokenizers import models

    vocabulary = {"a": 0, "b": 1}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    assert json.loads(tokenizer.to_str())["model"]["unk_token"] is None
    assert StaticModel(np.eye(2, dtype=np.float32), tokenizer).tokenize(["ab"]) == [[0, 1]]
