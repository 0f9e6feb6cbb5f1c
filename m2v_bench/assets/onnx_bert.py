"""Convert a BERT encoder exported to ONNX into a sentence-transformers folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from m2v_bench.cache import write_json, write_tensors
from m2v_bench.errors import BenchError

if TYPE_CHECKING:
    from onnx import GraphProto

_EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings")
_LAYER = (
    *("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"),
    *("attention.output.LayerNorm", "intermediate.dense", "output.dense", "output.LayerNorm"),
)

# The prefix of these names in a graph depends on the wrapper of the exported model.
_PARAMETER = re.compile(r"(?:^|\.)((?:embeddings|encoder\.layer\.\d+)\..+\.(?:weight|bias))(?:_quantized)?$")
# Exporters fold a linear layer's transposed weight into an unnamed constant; the MatMul node's name has the layer.
_PRODUCT = re.compile(r"(?:^|/)(encoder/layer\.\d+/.+)/MatMul(?:_quant)?$")


def bert_weights(graph_file: Path) -> dict[str, np.ndarray]:
    """Read the weights of an exported BERT encoder as float32, by their names in transformers.

    Integers of a dynamically quantized graph become `(q - zero_point) * scale`.

    Raises:
        BenchError: naming weights that the encoder needs and the graph lacks.
    """
    import onnx

    weights = dict(_named_weights(onnx.load(graph_file).graph))
    layers = [int(name.split(".")[2]) for name in weights if name.startswith("encoder.")]
    needed = _needed(max(layers, default=0) + 1)
    if missing := [name for name in needed if name not in weights]:
        raise BenchError(
            f"{graph_file.name} cannot be converted to a BertModel: the graph lacks {len(missing)} of {len(needed)} "
            f"weights, such as {', '.join(missing[:3])}"
        )
    return {name: weights[name] for name in needed}


def _named_weights(graph: "GraphProto") -> Iterator[tuple[str, np.ndarray]]:
    from onnx import numpy_helper

    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name in stored:
        if (parameter := _PARAMETER.search(name)) and (value := _value(name, stored)) is not None:
            yield parameter[1], value
    for node in graph.node:
        if (product := _PRODUCT.search(node.name)) and (value := _value(node.input[1], stored)) is not None:
            yield f"{product[1].replace('/', '.')}.weight", np.ascontiguousarray(value.T)


def _value(name: str, stored: dict[str, np.ndarray]) -> np.ndarray | None:
    """Return a stored tensor as float32, dequantized if needed; None if it or its scale is not stored."""
    if not name.endswith("_quantized"):
        return stored[name].astype(np.float32) if name in stored else None
    stem = name.removesuffix("_quantized")
    integers, zero_point, scale = (stored.get(f"{stem}_{part}") for part in ("quantized", "zero_point", "scale"))
    if integers is None or zero_point is None or scale is None:
        return None
    # zero points and scales of linear weights are per output, the last axis of the graph's transposed weights
    return (integers.astype(np.float32) - zero_point.astype(np.float32)) * scale


def _needed(n_layers: int) -> list[str]:
    names = [f"embeddings.{part}.weight" for part in _EMBEDDINGS]
    names += [f"embeddings.LayerNorm.{kind}" for kind in ("weight", "bias")]
    for layer in range(n_layers):
        names += [f"encoder.layer.{layer}.{part}.{kind}" for part in _LAYER for kind in ("weight", "bias")]
    return names


def convert(
    graph_file: Path, folder: Path, *, heads: int, pooling: str, max_seq_length: int, normalize: bool = False
) -> None:
    """Write a sentence-transformers model without its tokenizer.

    Args:
        graph_file: the ONNX file.
        folder: the output folder.
        heads: attention heads, which the shapes of the weights do not determine.
        pooling: pooling of token vectors, `mean` or `cls`.
        max_seq_length: number of tokens at which texts are truncated.
        normalize: whether the text's vector is divided by its L2 norm.

    Raises:
        BenchError: when the graph lacks a weight.
    """
    weights = bert_weights(graph_file)
    write_tensors(folder / "model.safetensors", weights, metadata={"format": "pt"})
    n_tokens, hidden = weights["embeddings.word_embeddings.weight"].shape
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": n_tokens,
        "hidden_size": hidden,
        "num_hidden_layers": sum(name.endswith(".intermediate.dense.bias") for name in weights),
        "num_attention_heads": heads,
        "intermediate_size": len(weights["encoder.layer.0.intermediate.dense.bias"]),
        "max_position_embeddings": len(weights["embeddings.position_embeddings.weight"]),
        "type_vocab_size": len(weights["embeddings.token_type_embeddings.weight"]),
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
    }
    write_json(folder / "config.json", config)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_seq_length, "do_lower_case": False})
    modes = {"pooling_mode_cls_token": pooling == "cls", "pooling_mode_mean_tokens": pooling == "mean"}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": hidden, **modes})
    paths = {"Transformer": "", "Pooling": "1_Pooling"} | ({"Normalize": "2_Normalize"} if normalize else {})
    modules = [
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(paths.items())
    ]
    write_json(folder / "modules.json", modules)
