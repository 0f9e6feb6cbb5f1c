"""Test the ONNX graph of static models: onnxruntime gives what `encode` gives."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from m2v_bench import StaticModel
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from tests.conftest import tiny_static_model

WORDS = ("good", "bad", "cat", "dog", "house", "tree")
TEXTS = ["good cat", "dog", "", "bad bad tree house dog good", "zebra", "cat"]


def variant(dtype: str, *, weights: bool, mapping: bool, normalize: bool) -> StaticModel:
    plain = tiny_static_model(WORDS)
    n = len(plain.table)
    table = plain.table[: n - 2] if mapping else plain.table
    table = (30 * table).astype(np.int8) if dtype == "int8" else table.astype(dtype)
    return StaticModel(
        table,
        plain.tokenizer,
        normalize=normalize,
        weights=np.linspace(0.1, 2, n) if weights else None,
        mapping=np.arange(n) % (n - 2) if mapping else None,
    )


def run(path: Path, model: StaticModel, texts: list[str]) -> np.ndarray:
    ids = model.tokenize(texts, max_length="model")
    longest = max(map(len, ids))
    shape = (len(ids), longest)
    padded, mask = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    for row, tokens in enumerate(ids):
        padded[row, : len(tokens)] = tokens
        mask[row, : len(tokens)] = 1
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (embeddings,) = session.run(["embeddings"], {"input_ids": padded, "attention_mask": mask})
    return embeddings


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("weights", [False, True])
@pytest.mark.parametrize("mapping", [False, True])
@pytest.mark.parametrize("normalize", [False, True])
def test_graph_gives_what_encode_gives(tmp_path: Path, dtype: str, weights: bool, mapping: bool, normalize: bool):
    model = variant(dtype, weights=weights, mapping=mapping, normalize=normalize)
    model.to_onnx(tmp_path / "model.onnx")
    expected = model.encode(TEXTS)
    assert not expected[2].any()
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(run(tmp_path / "model.onnx", model, TEXTS), expected, atol=1e-6 * scale, rtol=0)


def test_command_writes_the_graph_beside_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = tiny_static_model(WORDS)
    model.save_pretrained(tmp_path / "model")
    main(["export-onnx", str(tmp_path / "model")])
    assert "wrote" in capsys.readouterr().out
    file = tmp_path / "model" / "onnx" / "model.onnx"
    np.testing.assert_allclose(run(file, model, TEXTS), model.encode(TEXTS), atol=1e-6)
    again = StaticModel.from_pretrained(tmp_path / "model")
    np.testing.assert_array_equal(again.encode(TEXTS), model.encode(TEXTS))


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot be written"):
        tiny_static_model().to_onnx(tmp_path / "file" / "model.onnx")
