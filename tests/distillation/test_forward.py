from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from m2v_bench.distillation.forward import load_transformer, token_vectors
from m2v_bench.distillation.pooling import POOLINGS, pooler
from m2v_bench.errors import BenchError

SEQUENCES = [[101, 1996, 102], [101, 7592, 2088, 102], [101, 2003, 102], [101, 102], [101, 9999, 102]]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batches_of_equal_length_give_what_a_padded_masked_batch_gives(teacher_folder: Path, pooling: str):
    ours = token_vectors(
        load_transformer(teacher_folder), SEQUENCES, pooling=pooling, batch_size=2, show_progress=False
    )
    reference = AutoModel.from_pretrained(teacher_folder).eval()
    ids = torch.zeros(len(SEQUENCES), 4, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(SEQUENCES):
        ids[row, : len(sequence)] = torch.tensor(sequence)
        mask[row, : len(sequence)] = 1
    with torch.inference_mode():
        output = reference(input_ids=ids, attention_mask=mask)
    hidden, lengths = output.last_hidden_state, mask.sum(dim=1)
    expected = {
        "mean": (hidden * mask[:, :, None]).sum(dim=1) / lengths[:, None],
        "first": hidden[:, 0],
        "last": hidden[torch.arange(len(SEQUENCES)), lengths - 1],
        "pooler": output.pooler_output,
    }[pooling]
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours, expected.numpy(), atol=2e-5)


def test_batch_size_does_not_change_the_vectors(teacher_folder: Path):
    model = load_transformer(teacher_folder)
    one, all_ = (token_vectors(model, SEQUENCES, pooling="mean", batch_size=n, show_progress=False) for n in (1, 8))
    np.testing.assert_allclose(one, all_, atol=1e-5)


def test_a_model_without_pooler_output_is_told():
    with pytest.raises(BenchError, match=r"pooling\.name=pooler: this base model has no pooler output"):
        pooler(torch.zeros(1, 2, 3), None)


def test_a_folder_without_a_transformer_is_told(tmp_path: Path):
    with pytest.raises(BenchError, match="no transformer can be loaded"):
        load_transformer(tmp_path)
