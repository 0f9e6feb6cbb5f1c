import json
from pathlib import Path

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


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_saving_and_loading_changes_nothing(tmp_path: Path, dtype: type):
    tiny = tiny_static_model()
    model = StaticModel(tiny.table.astype(dtype), tiny.tokenizer, config={"dialect": "m2v-0.7"})
    model.save_pretrained(tmp_path / "model")
    loaded = StaticModel.from_pretrained(tmp_path / "model")
    assert loaded.table.dtype == dtype
    assert loaded.config["dialect"] == "m2v-0.7"
    assert loaded.config["model_type"] == "model2vec"
    texts = ["cat dog", "", "good bad zebra"]
    assert (loaded.encode(texts) == model.encode(texts)).all()


def test_weights_and_mapping_survive_saving(tmp_path: Path):
    full = tiny_static_model()
    model = StaticModel(full.table[:2], full.tokenizer, weights=np.arange(6.0), mapping=np.array([0, 1] * 3))
    model.save_pretrained(tmp_path)
    assert (StaticModel.from_pretrained(tmp_path).encode("cat dog") == model.encode("cat dog")).all()


def test_sentence_transformers_loads_a_saved_model(tmp_path: Path):
    from sentence_transformers import SentenceTransformer

    model = tiny_static_model()
    model.save_pretrained(tmp_path)
    theirs = SentenceTransformer(str(tmp_path)).encode(["good dog"])
    np.testing.assert_allclose(theirs, model.encode(["good dog"]), atol=1e-6)


def test_a_folder_that_is_no_model_says_what_is_missing(tmp_path: Path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BenchError, match=r"model\.safetensors, tokenizer\.json missing"):
        StaticModel.from_pretrained(tmp_path)


def test_a_table_of_the_wrong_length_is_refused():
    tiny = tiny_static_model()
    with pytest.raises(ValueError, match="6 tokens but there are rows for 5"):
        StaticModel(tiny.table[:5], tiny.tokenizer)


def test_a_byte_fallback_tokenizer_has_no_unknown_token_to_drop():
    from tokenizers import models

    vocabulary = {"a": 0, "b": 1}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    assert json.loads(tokenizer.to_str())["model"]["unk_token"] is None
    assert StaticModel(np.eye(2, dtype=np.float32), tokenizer).tokenize(["ab"]) == [[0, 1]]
