"""Test BERT encoders converted from ONNX."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import GraphProto, helper, numpy_helper

from m2v_bench import distill
from m2v_bench.assets.onnx_bert import bert_weights, convert
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.distillation.tokenizers.teacher_tokenizer import load_tokenizer
from m2v_bench.errors import BenchError
from m2v_bench.models.sentence_transformer import teacher

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "onnx_bert.json").read_text(encoding="utf-8"))
L3, BGE = "paraphrase-MiniLM-L3-v2", "bge-small-en-v1.5-int8"
PUBLIC_NAMES = {L3: "sentence-transformers/paraphrase-MiniLM-L3-v2", BGE: "m2v_bench/bge-small-en-v1.5-int8-derived"}


@pytest.fixture(scope="module", params=[L3, BGE])
def base(request: pytest.FixtureRequest) -> tuple[str, BaseModel]:
    """Return a base model in the catalog that is stored as an ONNX file."""
    return request.param, find_base(request.param)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    return np.sum(one * other, axis=-1) / np.linalg.norm(one, axis=-1) / np.linalg.norm(other, axis=-1)


def test_weights_are_complete_and_all_used(base: tuple[str, BaseModel]):
    from transformers import AutoModel

    name, folder = base
    model, info = AutoModel.from_pretrained(folder.folder, output_loading_info=True)
    assert {key for key in info["missing_keys"] if not key.startswith("pooler.")} == set()
    assert not info["unexpected_keys"]
    assert (model.config.num_hidden_layers, model.config.hidden_size, model.config.num_attention_heads) == (
        {L3: 3, BGE: 12}[name],
        384,
        12,
    )
    assert str(model.dtype) == "torch.float32"
    assert not list(folder.folder.glob("*.onnx"))


def test_embeddings_match_the_onnx_graph(base: tuple[str, BaseModel]):
    name, folder = base
    assert folder.name == PUBLIC_NAMES[name]
    model = teacher(folder)
    assert (model.label, model.dims) == (PUBLIC_NAMES[name].split("/")[1], 384)
    encoder, golden = model.load("cpu"), np.array(GOLDEN[name])
    assert encoder.model.max_seq_length == {L3: 128, BGE: 512}[name]
    ours = encoder.encode(GOLDEN["sentences"], batch_size=8)
    if name == L3:
        np.testing.assert_allclose(ours, golden, atol=1e-4)
    else:
        # the graph also rounds the activations at every product; our model has rounded weights only
        assert cosines(ours, golden).min() > 0.99
        np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    alike, unlike = cosines(ours[0], ours[1]), cosines(ours[0], ours[2])
    assert alike > 0.6
    assert unlike < 0.5
    assert cosines(ours[2], ours[3]) > unlike


def test_converted_model_can_be_distilled(base: tuple[str, BaseModel], teacher_folder: Path):
    name, folder = base
    assert folder.tokenizer.tokens == load_tokenizer(teacher_folder).tokens
    model = distill(name, pca_dims=256, show_progress=False)
    assert model.table.shape == (29_525, 256)  # the tokens of all-MiniLM-L6-v2
    assert model.config["base_model_name"] == PUBLIC_NAMES[name]
    cat, kitten, market = model.encode(["a cat", "a kitten", "the stock market"])
    assert cat @ kitten > cat @ market


def tiny_graph() -> GraphProto:
    """Write one layer as exporters do, with linear weights quantized per output."""
    random = np.random.default_rng(0)
    names = {"embeddings.LayerNorm": (4,)}
    names |= {f"embeddings.{part}_embeddings": (6, 4) for part in ("word", "position", "token_type")}
    names |= {f"encoder.layer.0.{part}.LayerNorm": (4,) for part in ("attention.output", "output")}
    tensors = {f"bert.{name}.weight": random.normal(size=shape).astype("f4") for name, shape in names.items()}
    tensors |= {f"bert.{name}.bias": np.zeros(4, "f4") for name in names if "LayerNorm" in name}
    nodes = []
    dense = ["attention/self/query", "attention/self/key", "attention/self/value"]
    dense += ["attention/output/dense", "intermediate/dense", "output/dense"]
    for index, part in enumerate(dense):
        tensors[f"bert.encoder.layer.0.{part.replace('/', '.')}.bias"] = np.zeros(4, "f4")
        tensors[f"W{index}_quantized"] = np.arange(16, dtype=np.uint8).reshape(4, 4)
        tensors[f"W{index}_zero_point"] = np.array([0, 1, 2, 255], np.uint8)
        tensors[f"W{index}_scale"] = np.array([1, 0.5, 0.25, 0.125], "f4")
        node = f"/bert/encoder/layer.0/{part}/MatMul_quant"
        nodes.append(helper.make_node("MatMulInteger", ["x", f"W{index}_quantized"], [f"y{index}"], name=node))
    stored = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    return helper.make_graph(nodes, "tiny", [], [], stored)


def save(graph: GraphProto, folder: Path) -> Path:
    onnx.save(helper.make_model(graph), folder / "tiny.onnx")
    return folder / "tiny.onnx"


def test_integers_are_dequantized(tmp_path: Path):
    weights = bert_weights(save(tiny_graph(), tmp_path))
    value = weights["encoder.layer.0.attention.self.key.weight"]
    assert value.dtype == np.float32
    # row = output, column = input, as in torch
    np.testing.assert_array_equal(value[1], [(q - 1) * 0.5 for q in (1, 5, 9, 13)])
    np.testing.assert_array_equal(value[3], [(q - 255) * 0.125 for q in (3, 7, 11, 15)])


def test_converted_folder_is_complete_except_for_the_tokenizer(tmp_path: Path):
    convert(save(tiny_graph(), tmp_path), tmp_path, heads=2, pooling="cls", max_seq_length=5, normalize=True)
    model = BaseModel("m", "r", tmp_path).transformer()  # raises when a weight is missing
    assert (model.config.vocab_size, model.config.max_position_embeddings, model.config.num_attention_heads) == (
        6,
        6,
        2,
    )
    modules = json.loads((tmp_path / "modules.json").read_text())
    assert [(module["path"], module["type"].split(".")[-1]) for module in modules] == [
        ("", "Transformer"),
        ("1_Pooling", "Pooling"),
        ("2_Normalize", "Normalize"),
    ]
    assert json.loads((tmp_path / "sentence_bert_config.json").read_text())["max_seq_length"] == 5
    assert json.loads((tmp_path / "1_Pooling" / "config.json").read_text())["pooling_mode_cls_token"] is True
    # safetensors' writer would make the file readable by its owner only
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "modules.json").stat().st_mode


@pytest.mark.parametrize(
    ("dropped", "lacks"),
    [
        ("bert.embeddings.position_embeddings.weight", "embeddings.position_embeddings.weight"),
        ("W2_scale", "encoder.layer.0.attention.self.value.weight"),
        ("W5_quantized", "encoder.layer.0.output.dense.weight"),
        ("bert.encoder.layer.0.output.LayerNorm.bias", "encoder.layer.0.output.LayerNorm.bias"),
    ],
)
def test_missing_weight_is_refused(dropped: str, lacks: str, tmp_path: Path):
    graph = tiny_graph()
    kept = [tensor for tensor in graph.initializer if tensor.name != dropped]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    with pytest.raises(BenchError, match=rf"tiny\.onnx cannot be converted.*lacks 1 of 21 weights, such as {lacks}"):
        bert_weights(save(graph, tmp_path))


def test_other_graph_is_refused(tmp_path: Path):
    with pytest.raises(BenchError, match="lacks 21 of 21 weights"):
        bert_weights(save(helper.make_graph([], "empty", [], []), tmp_path))
