"""Map the arrays of a safetensors file into memory, so that only rows in use are read."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.errors import BenchError

_MAPPED = {
    **{"F32": np.float32, "F16": np.float16, "F64": np.float64, "I8": np.int8, "I32": np.int32, "I64": np.int64},
    "BF16": np.uint16,  # numpy has no bfloat16, which is the upper half of a float32
}
# number types that the safetensors package returns as numpy arrays
_SAFETENSORS = (*_MAPPED, "U8", "I16", "U16", "U32", "U64", "BOOL")


def read_tensors(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a safetensors file by name, mapped where that is possible.

    Files that cannot be mapped, among them damaged ones, are left to the safetensors package.

    Raises:
        BenchError: for a number type that neither reads.
    """
    with path.open("rb") as file:
        begin, size = 8 + int.from_bytes(file.read(8), "little"), path.stat().st_size
        header: dict[str, Any] = json.loads(file.read(begin - 8)) if begin <= size else {"": {"dtype": None}}
    header.pop("__metadata__", None)
    arrays: dict[str, np.ndarray] = {}
    end = 0  # arrays follow each other without gaps and fill the file
    for name, tensor in sorted(header.items(), key=lambda item: item[1].get("data_offsets", [0])):
        if tensor["dtype"] not in _MAPPED:
            break
        dtype: np.dtype[Any] = np.dtype(_MAPPED[tensor["dtype"]])
        (first, last), shape = tensor["data_offsets"], tuple(tensor["shape"])
        fits = first == end and 0 < last - first == dtype.itemsize * math.prod(shape) and begin + last <= size
        if not fits or (begin + first) % dtype.itemsize:
            break
        # copy on write: the file never changes
        array, end = np.memmap(path, dtype, "c", begin + first, shape), last
        arrays[name] = array if tensor["dtype"] != "BF16" else (array.astype(np.uint32) << 16).view(np.float32)
    if len(arrays) == len(header) and begin + end == size:
        return arrays
    odd = {str(tensor["dtype"]) for tensor in header.values() if tensor["dtype"]} - set(_SAFETENSORS)
    if odd:
        raise BenchError(
            f"{path}: number type {', '.join(sorted(odd))} is not read; allowed: {', '.join(_SAFETENSORS)}"
        )
    from safetensors.numpy import load_file

    return load_file(path)
