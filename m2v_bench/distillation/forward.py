"""One forward pass over the vocabulary: token sequences -> one vector per token."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from tqdm.auto import tqdm

from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.errors import BenchError


def load_transformer(path: Path, *, pooling: str) -> Any:
    """The transformer in `path`, in evaluation mode and float32.

    Args:
        path: a folder that `transformers` can load.
        pooling: a name in `POOLINGS`; `pooler` needs a pooler among the weights.

    Raises:
        BenchError: when there is no model, its files are damaged, or weights are missing; transformers would
            go on with random ones.
    """
    from transformers import AutoModel
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        model, info = AutoModel.from_pretrained(path, dtype="float32", output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BenchError(f"base_model: no transformer can be loaded from {path}: {error}") from error
    without_pooler = [name for name in info["missing_keys"] if "pooler" not in name]
    if without_pooler:
        raise BenchError(
            f"base_model: {path} lacks weights of its transformer: {', '.join(sorted(without_pooler)[:3])}"
        )
    if info["missing_keys"] and pooling == "pooler":
        raise BenchError(f"pooling.name=pooler: {path} has no weights of a pooler; allowed: mean, first, last")
    return model.eval()


def hidden_size(path: Path) -> int:
    """Dimensions of the hidden states of the transformer in `path`, read from its configuration.

    Raises:
        BenchError: when there is no configuration that `transformers` knows.
    """
    from transformers import AutoConfig

    try:
        return int(AutoConfig.from_pretrained(path).hidden_size)
    except (OSError, ValueError, AttributeError) as error:
        raise BenchError(f"base_model: {path} holds no transformer that can be distilled: {error}") from error


def token_vectors(
    model: Any,
    token_sequences: Sequence[Sequence[int]],
    *,
    pooling: str,
    batch_size: int = 512,
    device: str = "cpu",
    show_progress: bool = True,
) -> np.ndarray:
    """Pass every sequence once through the transformer and pool its hidden states.

    Sequences of equal length share a batch, so that nothing is padded and no attention mask is needed.

    Args:
        model: a transformer as `load_transformer` returns it.
        token_sequences: token ids of the base model, special tokens included.
        pooling: a name in `POOLINGS`.
        batch_size: sequences per batch; does not change the result beyond rounding.
        device: torch device.
        show_progress: show a progress bar.

    Returns:
        float32 array of shape (sequences, hidden); what is not a number is 0.
    """
    import torch

    model = model.to(device)
    pool = POOLINGS[pooling]
    lengths = np.array([len(sequence) for sequence in token_sequences])
    vectors = np.empty((len(token_sequences), model.config.hidden_size), dtype=np.float32)
    bar = tqdm(total=len(vectors), desc="forward pass", unit="token", disable=not show_progress)
    with bar, torch.inference_mode():
        for length in np.unique(lengths):
            (rows,) = np.nonzero(lengths == length)
            for start in range(0, len(rows), batch_size):
                batch = rows[start : start + batch_size]
                ids = torch.tensor([list(token_sequences[row]) for row in batch], device=device)
                output = model(input_ids=ids)
                pooled = pool(output.last_hidden_state, getattr(output, "pooler_output", None))
                vectors[batch] = pooled.float().cpu().numpy()
                bar.update(len(batch))
    return np.nan_to_num(vectors, copy=False)
