"""One forward pass over the vocabulary: token sequences -> one vector per token, written in shards."""

import ctypes
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.cache import save_array
from m2v_bench.distillation.pooling import POOLINGS, States
from m2v_bench.errors import BenchError

if TYPE_CHECKING:
    from m2v_bench.distillation.vocabulary import Vocabulary

PRECISIONS = ("fp32", "bf16")
SHARD_ROWS = 16_384
# The fastest on two cores with 2 MB of cache each and 384 dimensions; larger batches spill. Longer ones get fewer rows.
_POSITIONS_PER_BATCH = 1_152


@dataclass(frozen=True)
class Pass:
    """How sequences go through the transformer.

    Attributes:
        pooling: pooling of the subwords' sequences, a name in `POOLINGS`.
        word_pooling: pooling of the words' sequences.
        masks_padding: leave the padding token out of attention and mean.
        precision: `fp32`, or `bf16` for products rounded to 8 bits of mantissa.
        device: torch device.
    """

    pooling: str = "mean"
    word_pooling: str = "mean"
    masks_padding: bool = False
    precision: str = "fp32"
    device: str = "cpu"


def check_precision(precision: str, device: str) -> None:
    """Refuse a precision that this machine would only emulate, and warn of one that it multiplies slower.

    Raises:
        BenchError: for an unknown precision, or bf16 on a processor that has no instructions for it.
    """
    if precision not in PRECISIONS:
        raise BenchError(f"precision={precision}: unknown; allowed: {', '.join(PRECISIONS)}")
    if precision == "fp32" or device != "cpu":
        return
    import torch

    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch cannot tell
    if not any(on for name, on in capabilities.items() if "bf16" in name):
        raise BenchError("precision=bf16: torch finds no bf16 instructions in this processor; use fp32")
    # without matrix tiles (AMX) some processors multiply bf16 slower than fp32
    gain = product_rate(torch.bfloat16) / product_rate(torch.float32)
    if gain < 1:
        warnings.warn(
            f"precision=bf16: this processor multiplies bf16 at {gain:.2f} times its rate for fp32", stacklevel=2
        )


def product_rate(dtype: Any, *, size: int = 1024, repeats: int = 8) -> float:
    """The best rate of a square matrix product on this processor, in GFLOP/s.

    Args:
        dtype: of torch.
        size: rows and columns of the matrices.
        repeats: products timed; the fastest counts.
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
    model: Any, vocabulary: "Vocabulary", how: Pass, *, shards: Path, show_progress: bool = True
) -> np.ndarray:
    """Pass every sequence once through the transformer and pool its hidden states.

    Sequences of equal length share a batch, so that nothing is padded. Rows go by length into shards of fixed
    size; a shard is a file that appears whole, and one that is there is not computed again. As batches never
    cross a shard, a pass that was interrupted gives the same bits as one that was not.

    Args:
        model: a transformer in evaluation mode.
        vocabulary: its sequences are fed; an empty one gives a row of zeros.
        how: poolings, precision and device.
        shards: folder of the shards; the caller removes it when it has what it needs.
        show_progress: show a progress bar.

    Returns:
        float32 array of shape (tokens, hidden); what is not a number is 0.
    """
    _keep_freed_memory()
    model = model.to(how.device)
    hidden = int(model.config.hidden_size)
    order = _by_length(vocabulary)
    vectors = np.zeros((len(vocabulary.sequences), hidden), dtype=np.float32)
    parts = [order[start : start + SHARD_ROWS] for start in range(0, len(order), SHARD_ROWS)]
    with tqdm(total=len(order), desc="forward pass", unit="token", disable=not show_progress) as bar:
        for number, rows in enumerate(parts):
            file = shards / f"{number:05d}.npy"
            if file.is_file():
                vectors[rows] = np.load(file)
                bar.update(len(rows))
                bar.initial = bar.n  # time left is judged by what is computed now
                continue
            part = _shard(model, vocabulary, how, rows, bar)
            if len(parts) > 1:
                save_array(file, part)
            vectors[rows] = part
    return np.nan_to_num(vectors, copy=False)


def input_vectors(model: Any, vocabulary: "Vocabulary") -> np.ndarray:
    """The rows of the transformer's input embedding matrix: the ablation without a forward pass.

    Returns:
        float32 array of shape (tokens, hidden); a word is the mean of its pieces, an empty sequence zero.
    """
    matrix = model.get_input_embeddings().weight.detach().float().cpu().numpy()
    pieces = [sequence[vocabulary.own] for sequence in vocabulary.sequences]
    vectors = np.zeros((len(pieces), matrix.shape[1]), dtype=np.float32)
    for row, ids in enumerate(pieces):
        if ids:
            vectors[row] = matrix[list(ids)].mean(axis=0)
    return vectors


def _keep_freed_memory() -> None:
    """Let the C library keep what batches free, for the next batch.

    glibc hands it back to the system, and every batch then takes hundreds of pages anew: a fifth of the pass.
    Elsewhere nothing is done. The thresholds are for the whole process; 32 MB is the largest that glibc takes.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
        mallopt(trim_threshold, 256 << 20)
        mallopt(mmap_threshold, 32 << 20)


def _by_length(vocabulary: "Vocabulary") -> np.ndarray:
    """The rows that are fed, subwords first, short sequences first."""
    lengths = np.array([len(sequence) for sequence in vocabulary.sequences])
    is_word = np.arange(len(lengths)) >= vocabulary.n_subwords
    order = np.lexsort((lengths, is_word))
    return order[lengths[order] > 0]


def _shard(model: Any, vocabulary: "Vocabulary", how: Pass, rows: np.ndarray, bar: Any) -> np.ndarray:
    import torch

    vectors = np.empty((len(rows), int(model.config.hidden_size)), dtype=np.float32)
    done = 0
    with torch.inference_mode(), _autocast(how.precision, how.device):
        for batch in _batches(rows, vocabulary):
            ids = torch.tensor([vocabulary.sequences[row] for row in batch], device=how.device)
            mask = ids != vocabulary.padding_id if how.masks_padding and vocabulary.padding_id is not None else None
            if mask is not None and bool(mask.all()):
                mask = None
            output = model(input_ids=ids) if mask is None else model(input_ids=ids, attention_mask=mask.long())
            states = States(
                hidden=output.last_hidden_state.float(),
                pooler=getattr(output, "pooler_output", None),
                own=vocabulary.own,
                mask=mask,
            )
            pool = POOLINGS[how.word_pooling if batch[0] >= vocabulary.n_subwords else how.pooling]
            vectors[done : done + len(batch)] = pool(states).float().cpu().numpy()
            done += len(batch)
            bar.update(len(batch))
    return vectors


def _autocast(precision: str, device: str) -> AbstractContextManager[Any]:
    import torch

    if precision == "fp32":
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)


def _batches(rows: np.ndarray, vocabulary: "Vocabulary") -> Iterator[Sequence[int]]:
    """Runs of rows of one length and one kind."""
    lengths = np.array([len(vocabulary.sequences[row]) for row in rows])
    kinds = lengths * 2 + (rows >= vocabulary.n_subwords)
    for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(kinds)) + 1):
        size = max(1, _POSITIONS_PER_BATCH // int(lengths[run[0]]))
        for start in range(0, len(run), size):
            yield rows[run[start : start + size]].tolist()
