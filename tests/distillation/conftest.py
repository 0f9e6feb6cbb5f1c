"""Fixtures shared by the tests of distillation and training."""

from pathlib import Path

import pytest

from tests.golden.tiny_models import build_bpe


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a model with 400 tokens and 32 dimensions."""
    folder = tmp_path_factory.mktemp("tiny") / "roberta"
    build_bpe(folder)
    return folder
