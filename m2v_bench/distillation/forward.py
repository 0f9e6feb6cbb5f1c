"""Forward pass over the vocabulary: token sequences -> one vector per token, written in shards."""

import ctypes
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.cache import save_array
from m2v_bench.distillation.pooling import POOLINGS, States
from m2v_bench.errors import BenchError

Sequences = Sequence[tuple[int, ...]]

PRECISIONS = ("fp32", "bf16")
SHARD_ROWS = 16_384
# Measured to be fastest on two cores with 1 to 2 MB of cache each and 384 dimensions. Rows per batch = this / length.
_POSITIONS_PER_BATCH = {"fp32": 1_152, "bf16": 3_072}


@dataclass(frozen=True)
class Pass:
    """Settings of a forward pass.

    Attributes:
        pooling: a name in `POOLINGS`.
        affixes: number of special tokens before and after a token's pieces.
        masked_id: an id to leave out of attention and mean, or None.
        precision: `fp32`, or `bf16` for products rounded to 8 bits of mantissa.
        device: torch device.
    """

    pooling: str = "mean"
    affixes: tuple[int, int] = (1, 1)
    masked_id: int | None = None
    precision: str = "fp32"
    device: str = "cpu"

    @property
    def pieces(self) -> slice:
        """The positions of a token's pieces, between the special tokens."""
        before, after = self.affixes
        return slice(before, -after or None)


def check_precision(precision: str, device: str) -> None:
    """Refuse a precision that this machine can only emulate, and warn of one that is slower here.

    Raises:
        BenchError: for an unknown precision, or bf16 on a processor without bf16 instructions.
    """
    if precision not in PRECISIONS:
        raise BenchError(f"precision={precision}: unknown; allowed: {', '.join(PRECISIONS)}")
    if precision == "fp32" or device != "cpu":
        return
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # missing in older torch releases
    if not any(on for name, on in capabilities.items() if "bf16" in name):
        raise BenchError("precision=bf16: torch finds no bf16 instructions in this processor; use fp32")
    # without matrix tiles (AMX) some processors multiply bf16 slower than fp32
    gain = product_rate(torch.bfloat16, size=512) / product_rate(torch.float32, size=512)
    if gain < 1:
        warnings.warn(
            f"precision=bf16: slower on this processor, which multiplies bf16 at {gain:.2f} times the rate of fp32; "
            "precision=fp32 is faster",
            stacklevel=2,
        )


def product_rate(dtype: Any, *, size: int, repeats: int = 8) -> float:
    """Measure the best rate of a square matrix product on this processor, in GFLOP/s.

    Args:
        dtype: a torch dtype.
        size: rows and columns of the matrices.
        repeats: number of timed products; the fastest counts.
    """
    import torch

    left, right = (torch.randn(size, size).to(dtype) for _ in range(2))
    seconds = []
    for _ in range(repeats + 1):  # the first one warms up
        started = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds[1:]) / 1e9


def forward_pass(
    model: Any, sequences: Sequences, how: Pass, *, shards: Path, show_progress: bool = True
) -> np.ndarray:
    """Pass every sequence once through the transformer and pool its hidden states.

    Sequences of equal length share a batch, so nothing is padded. Rows sorted by length form shards of fixed size; a
    shard is written atomically, and an existing one is not computed again. Batches never cross a shard, so a resumed
    pass gives the same bits as an uninterrupted one.

    Args:
        model: a transformer in evaluation mode; `bf16` permanently rounds its linear layers, so use it for such passes
            only.
        sequences: token ids of the base model, special tokens included; an empty one gives a row of zeros.
        how: pooling, precision and device.
        shards: folder of the shards; the caller removes it.
        show_progress: show a progress bar.

    Returns:
        float32 array of shape (sequences, hidden). A fully masked sequence gives a row of zeros.
    """
    import torch

    keep_freed_memory()
    model = model.to(how.device)
    if how.precision == "bf16":
        _round_linear_layers(model)
    kind = torch.device(how.device).type  # part of the file name, as results differ in bits between kinds of device
    lengths = np.array([len(sequence) for sequence in sequences])
    order = np.argsort(lengths, kind="stable")
    order = order[lengths[order] > 0]
    vectors = np.zeros((len(sequences), int(model.config.hidden_size)), dtype=np.float32)
    parts = [order[start : start + SHARD_ROWS] for start in range(0, len(order), SHARD_ROWS)]
    with tqdm(total=len(order), desc="forward pass", unit="token", disable=not show_progress) as bar:
        for number, rows in enumerate(parts):
            file = shards / f"{SHARD_ROWS}-{_POSITIONS_PER_BATCH[how.precision]}-{kind}-{number:05d}.npy"
            finished = _read_shard(file, len(rows))
            if finished is not None:
                vectors[rows] = finished
                bar.update(len(rows))
                bar.initial = bar.n  # estimate the remaining time from computed rows only
                continue
            part = _shard(model, [sequences[row] for row in rows], how, bar)
            if len(parts) > 1:
                save_array(file, part)
            vectors[rows] = part
    if how.masked_id is not None:
        masked = [row for row, sequence in enumerate(sequences) if set(sequence) == {how.masked_id}]
        vectors[masked] = 0  # NaN, as there is nothing to attend to
    return vectors


def _read_shard(file: Path, n_rows: int) -> np.ndarray | None:
    """Read a finished shard; return None if it is missing or damaged, e.g. by a power cut."""
    try:
        shard = np.load(file)
    except (FileNotFoundError, ValueError, EOFError):
        return None
    return shard if len(shard) == n_rows else None


def input_vectors(model: Any, sequences: Sequences, how: Pass) -> np.ndarray:
    """Return rows of the transformer's input embedding matrix: the ablation without a forward pass.

    Returns:
        float32 array of shape (sequences, hidden); a word is the mean of its pieces, an empty sequence zero.
    """
    matrix = model.get_input_embeddings().weight.detach().float().cpu().numpy()
    vectors = np.zeros((len(sequences), matrix.shape[1]), dtype=np.float32)
    for row, sequence in enumerate(sequences):
        if ids := sequence[how.pieces]:
            vectors[row] = matrix[list(ids)].mean(axis=0)
    return vectors


def keep_freed_memory() -> None:
    """Let glibc keep the memory that a batch frees for the next batch.

    By default glibc returns it to the system, and faulting in hundreds of pages per batch costs a fifth of the pass.
    The thresholds apply to the whole process; 32 MB is glibc's maximum. Does nothing without glibc.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        mallopt(trim_threshold, 256 << 20)
        mallopt(mmap_threshold, 32 << 20)


def _shard(model: Any, sequences: Sequences, how: Pass, bar: Any) -> np.ndarray:
    """Compute the vectors of sequences sorted by length, float32 (sequences, hidden)."""
    import torch

    vectors = np.empty((len(sequences), int(model.config.hidden_size)), dtype=np.float32)
    with torch.inference_mode(), _autocast(how):
        lengths = [len(sequence) for sequence in sequences]
        for start, end in _batches(lengths, _POSITIONS_PER_BATCH[how.precision]):
            ids = torch.tensor(sequences[start:end], device=how.device)
            mask = None if how.masked_id is None else ids != how.masked_id
            if mask is None or bool(mask.all()):
                output, mask = model(input_ids=ids), None
            else:
                output = model(input_ids=ids, attention_mask=mask.long())
            pooler = getattr(output, "pooler_output", None)
            states = States(hidden=output.last_hidden_state.float(), pooler=pooler, pieces=how.pieces, mask=mask)
            vectors[start:end] = POOLINGS[how.pooling](states).float().cpu().numpy()
            bar.update(end - start)
    return vectors


def _round_linear_layers(model: Any) -> None:
    """Round the weights of linear layers to bf16 once; autocast would do it for every batch.

    On a CPU, also pack them into the layout of oneDNN, with the operators of compiled torch graphs, which saves a tenth
    of the pass. Without these operators the layers just keep their rounded weights.
    """
    import torch

    for layer in model.modules():
        if type(layer) is torch.nn.Linear:
            for name, tensor in layer.named_parameters(recurse=False):  # replaced, as an embedding may share them
                setattr(layer, name, torch.nn.Parameter(tensor.detach().to(torch.bfloat16), requires_grad=False))
            if layer.weight.device.type == "cpu":
                with suppress(AttributeError, NotImplementedError, RuntimeError):
                    vars(layer)["forward"] = _packed(layer)


def _packed(layer: Any) -> Callable[[Any], Any]:
    import torch

    pointwise = torch.ops.mkldnn._linear_pointwise
    weight = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), _POSITIONS_PER_BATCH["bf16"])
    bias = None if layer.bias is None else layer.bias.detach()

    def forward(states: Any) -> Any:
        return pointwise(states.to(torch.bfloat16), weight, bias, "none", [], "")

    forward(torch.zeros(1, layer.in_features))  # raises now, not during the pass, if the operators do not work
    return forward


def _autocast(how: Pass) -> AbstractContextManager[Any]:
    import torch

    if how.precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(how.device).type, dtype=torch.bfloat16)


def _batches(lengths: list[int], n_positions: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of batches of equal length with at most `n_positions` positions."""
    start = 0
    for length, run in groupby(lengths):
        stop = start + len(list(run))
        size = max(1, n_positions // length)
        yield from ((first, min(first + size, stop)) for first in range(start, stop, size))
        start = stop
