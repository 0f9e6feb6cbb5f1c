"""Test the base model's tokenizer: kind, special tokens, template."""

import shutil
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from m2v_bench.distillation.tokenizers.teacher_tokenizer import BaseTokenizer, load_tokenizer, read_tokenizer
from m2v_bench.errors import BenchError


@pytest.fixture(scope="module")
def base(teacher_folder: Path) -> BaseTokenizer:
    return load_tokenizer(teacher_folder)


def test_kind_special_tokens_and_template(base: BaseTokenizer):
    assert (base.kind, base.unknown, base.padding) == ("WordPiece", "[UNK]", "[PAD]")
    assert base.template == ([101], [102])
    assert base.tokens[:2] == [("[PAD]", 0), ("[unused0]", 1)]
    assert len(base.tokens) == 30_522


def test_padding_in_the_file_does_not_change_the_template(teacher_folder: Path, tmp_path: Path):
    padded = Tokenizer.from_file(str(teacher_folder / "tokenizer.json"))
    padded.enable_padding(length=128)
    shutil.copytree(teacher_folder, tmp_path / "model")
    padded.save(str(tmp_path / "model" / "tokenizer.json"))
    base = load_tokenizer(tmp_path / "model")
    assert base.template == ([101], [102])
    assert len(base.tokenizer.encode("quantum").ids) == 3


def test_unsupported_kind_is_refused():
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(BenchError, match=r"of the kind WordLevel; allowed: WordPiece, BPE, Unigram\. Choose"):
        read_tokenizer(PreTrainedTokenizerFast(tokenizer_object=words), "model")


def test_model_without_tokenizer_is_refused(teacher_folder: Path, tmp_path: Path):
    shutil.copy(teacher_folder / "config.json", tmp_path)
    with pytest.raises(BenchError, match="has no tokenizer"):
        load_tokenizer(tmp_path)


def test_slow_tokenizer_is_refused():
    with pytest.raises(BenchError, match="has no tokenizer that the `tokenizers` package can run"):
        read_tokenizer(object(), "model")
