import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel

from m2v_bench.distillation.forward import hidden_size, load_transformer, token_vectors
from m2v_bench.distillation.pooling import POOLINGS, pooler
from m2v_bench.errors import BenchError

SEQUENCES = [[101, 1996, 102], [101, 7592, 2088, 102], [101, 2003, 102], [101, 102], [101, 9999, 102]]


@pytest.mark.parametrize("pooling", POOLINGS)
def test_batches_of_equal_length_give_what_a_padded_masked_batch_gives(teacher_folder: Path, pooling: str):
    ours = token_vectors(
        load_transformer(teacher_folder, pooling=pooling), SEQUENCES, pooling=pooling, batch_size=2, show_progress=False
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
    model = load_transformer(teacher_folder, pooling="mean")
    one, all_ = (token_vectors(model, SEQUENCES, pooling="mean", batch_size=n, show_progress=False) for n in (1, 8))
    np.testing.assert_allclose(one, all_, atol=1e-5)


def test_a_model_without_pooler_output_is_told():
    with pytest.raises(BenchError, match=r"pooling\.name=pooler: this base model has no pooler output"):
        pooler(torch.zeros(1, 2, 3), None)


def test_a_folder_without_a_transformer_is_told(tmp_path: Path):
    with pytest.raises(BenchError, match="no transformer can be loaded"):
        load_transformer(tmp_path, pooling="mean")


@pytest.fixture
def copy_without(teacher_folder: Path, tmp_path: Path):
    from safetensors.numpy import load_file, save_file

    def make(part: str) -> Path:
        folder = tmp_path / "copy"
        shutil.copytree(teacher_folder, folder)
        weights = load_file(folder / "model.safetensors")
        save_file({name: w for name, w in weights.items() if part not in name}, folder / "model.safetensors")
        return folder

    return make


def test_pooler_weights_that_are_not_there_are_not_made_up(copy_without):
    folder = copy_without("pooler")
    assert load_transformer(folder, pooling="mean")
    with pytest.raises(BenchError, match="has no weights of a pooler; allowed: mean, first, last"):
        load_transformer(folder, pooling="pooler")


def test_missing_weights_are_told(copy_without):
    with pytest.raises(BenchError, match=r"lacks weights of its transformer: encoder\.layer\.3"):
        load_transformer(copy_without("encoder.layer.3.output.dense"), pooling="mean")


def test_damaged_weights_are_told(teacher_folder: Path, tmp_path: Path):
    shutil.copytree(teacher_folder, tmp_path / "copy")
    with (tmp_path / "copy" / "model.safetensors").open("r+b") as file:
        file.truncate(10_000_000)
    with pytest.raises(BenchError, match="no transformer can be loaded"):
        load_transformer(tmp_path / "copy", pooling="mean")


def test_the_hidden_size_is_found_under_any_name(tmp_path: Path):
    (tmp_path / "config.json").write_text('{"model_type": "distilbert", "dim": 48, "n_heads": 4}')
    assert hidden_size(tmp_path) == 48
