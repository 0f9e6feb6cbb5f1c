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


def test_a_file_that_pads_every_text_does_not_reach_the_template(teacher_folder: Path, tmp_path: Path):
    padded = Tokenizer.from_file(str(teacher_folder / "tokenizer.json"))
    padded.enable_padding(length=128)
    shutil.copytree(teacher_folder, tmp_path / "model")
    padded.save(str(tmp_path / "model" / "tokenizer.json"))
    base = load_tokenizer(tmp_path / "model")
    assert base.template == ([101], [102])
    assert len(base.tokenizer.encode("quantum").ids) == 3


def test_another_kind_of_tokenizer_is_named():
    words = Tokenizer(models.WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    with pytest.raises(BenchError, match="of the kind WordLevel; only WordPiece, BPE, Unigram can be distilled"):
        read_tokenizer(PreTrainedTokenizerFast(tokenizer_object=words), "model")


def test_a_model_without_tokenizer_is_told(teacher_folder: Path, tmp_path: Path):
    shutil.copy(teacher_folder / "config.json", tmp_path)
    with pytest.raises(BenchError, match="has no tokenizer"):
        load_tokenizer(tmp_path)


def test_something_else_than_a_fast_tokenizer_is_told():
    with pytest.raises(BenchError, match="has no tokenizer that the `tokenizers` package can run"):
        read_tokenizer(object(), "model")
