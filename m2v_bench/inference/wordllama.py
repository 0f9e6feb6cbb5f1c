"""Read the files of WordLlama (Miller, 2024) as a static model."""

from pathlib import Path

from safetensors.numpy import load_file
from tokenizers import Tokenizer

from m2v_bench.inference.static_model import StaticModel


def read_wordllama(folder: Path) -> StaticModel:
    """Load the WordLlama in an asset's folder: a plain mean without normalization or a longest input."""
    table = load_file(folder / "model.safetensors")["embedding.weight"]
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return StaticModel(table, tokenizer, normalize=False, max_length=None)
