"""Test embeddings as bytes and bits."""

from pathlib import Path

import numpy as np
import pytest
from sentence_transformers.util.quantization import quantize_embeddings

from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.inference.output_precision import PRECISIONS, dequantize
from tests.conftest import tiny_static_model

WORDS = tuple(f"word{number}" for number in range(300))
TEXTS = [f"word{number} word{7 * number % 300} word{number // 2}" for number in range(300)]


@pytest.fixture(scope="module")
def model():
    return tiny_static_model(WORDS, dims=60)


def cosines(embeddings: np.ndarray) -> np.ndarray:
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    return unit @ unit.T


def test_int8_keeps_cosines(model):
    exact, codes = model.encode(TEXTS), model.encode(TEXTS, precision="int8")
    assert codes.dtype == np.int8
    assert codes.shape == exact.shape
    assert np.abs(codes).max(axis=1).tolist() == [127] * len(TEXTS)
    assert np.abs(cosines(dequantize(codes, "int8", 60)) - cosines(exact)).max() < 0.01


@pytest.mark.parametrize("precision", ["binary", "ubinary"])
def test_bits_are_those_of_sentence_transformers(model, precision: str):
    exact, bits = model.encode(TEXTS), model.encode(TEXTS, precision=precision)
    expected = quantize_embeddings(np.pad(exact, ((0, 0), (0, 4))), precision)  # it takes whole bytes only
    np.testing.assert_array_equal(bits, expected)
    assert bits.dtype == expected.dtype
    signs = dequantize(bits, precision, 60)
    np.testing.assert_allclose(signs, np.where(exact > 0, 1, -1) / np.sqrt(60), rtol=1e-6)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_batches_threads_and_single_texts_give_the_same(model, precision: str):
    whole = model.encode(TEXTS, precision=precision)
    np.testing.assert_array_equal(model.encode(TEXTS, precision=precision, batch_size=7), whole)
    np.testing.assert_array_equal(model.encode(TEXTS[5], precision=precision), whole[5])
    assert model.encode([], precision=precision).shape == (0, whole.shape[1])


def test_a_text_without_tokens_is_zero(model):
    assert not model.encode([""], precision="int8").any()
    assert not model.encode([""], precision="ubinary").any()


def test_unknown_precision_is_refused(model, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(BenchError, match="precision='int4': allowed: float32, int8, binary, ubinary"):
        model.encode(TEXTS, precision="int4")
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("word1\nword2 word3\n")
    with pytest.raises(SystemExit):
        main(["encode", str(tmp_path / "model"), str(tmp_path / "texts.txt"), "--precision", "int4"])
    assert "allowed: float32, int8, binary, ubinary" in capsys.readouterr().err
    main(["encode", str(tmp_path / "model"), str(tmp_path / "texts.txt"), "--precision", "binary"])
    assert "int8, 2 texts x 8 bytes of signs" in capsys.readouterr().out
    assert np.load(tmp_path / "texts.npy").dtype == np.int8
