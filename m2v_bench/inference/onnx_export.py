"""Write a static model as an ONNX graph: gather and mean; the texts are tokenized outside."""

from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.inference.embeddings import Embeddings
from m2v_bench.system.packages import missing_extra

_OPSET = 17  # of 2022; every runtime since then reads it


def write_onnx(rows: Embeddings, path: Path, *, normalize: bool) -> None:
    """Write the graph of a model.

    Its inputs are `input_ids` and `attention_mask`, int64 of shape (texts, tokens): the ids that `tokenize` returns,
    and 1 for every id, 0 for padding. Its output is `embeddings`, float32 of shape (texts, dims). Rows keep their type.

    Args:
        rows: the model's table, mapping and weights.
        path: the file, written atomically.
        normalize: whether embeddings are divided by their L2 norm.

    Raises:
        BenchError: when onnx is not installed, or the file cannot be written.
    """
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ModuleNotFoundError as error:
        raise BenchError(f"to_onnx: {missing_extra(error) or error}") from None

    constants: dict[str, np.ndarray] = {
        "table": rows.table,
        "last": np.array([-1], np.int64),
        "tokens": np.array([1], np.int64),
        "one": np.array(1, np.float32),
        "tiny": np.array(1e-32, np.float32),
    }
    nodes: list[Any] = []

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    row_ids = "input_ids"
    if rows.mapping is not None:
        constants["mapping"] = rows.mapping.astype(np.int64)
        row_ids = node("Gather", ["mapping", "input_ids"], "row_ids")
    node("Gather", ["table", row_ids], "stored")
    node("Cast", ["stored"], "rows", to=TensorProto.FLOAT)
    factor = node("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    if rows.weights is not None:
        constants["weights"] = rows.weights.astype(np.float32)
        node("Gather", ["weights", "input_ids"], "token_weights")
        factor = node("Mul", ["mask", "token_weights"], "factors")
    node("Unsqueeze", [factor, "last"], "column")
    node("Mul", ["rows", "column"], "weighted")
    node("ReduceSum", ["weighted", "tokens"], "sums", keepdims=0)
    node("ReduceSum", ["mask", "tokens"], "counts", keepdims=1)
    node("Max", ["counts", "one"], "divisors")  # a text without tokens is the zero vector
    means = node("Div", ["sums", "divisors"], "means" if normalize else "embeddings")
    if normalize:
        node("Mul", [means, means], "squares")
        node("ReduceSum", ["squares", "tokens"], "squared_norms", keepdims=1)
        node("Sqrt", ["squared_norms"], "norms")
        node("Add", ["norms", "tiny"], "divisible")
        node("Div", [means, "divisible"], "embeddings")

    texts: list[Any] = ["texts", "tokens"]
    graph = helper.make_graph(
        nodes,
        "static_model",
        [helper.make_tensor_value_info(name, TensorProto.INT64, texts) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["texts", rows.table.shape[1]])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], producer_name="m2v_bench")
    proto.ir_version = 8
    onnx.checker.check_model(proto)
    temporary = path.with_name(f".{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        onnx.save_model(proto, str(temporary))
        temporary.replace(path)
    except OSError as error:
        raise BenchError(f"{path}: cannot be written ({error.strerror}); name another file") from error
