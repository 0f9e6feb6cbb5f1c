import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models

from m2v_bench.distillation.distill import load_tokenizer
from m2v_bench.distillation.recipe import UNUSED_TOKENS
from m2v_bench.distillation.tokenizer import model_vocabulary, special_token_template
from m2v_bench.errors import BenchError


@pytest.fixture(scope="module")
def base(teacher_folder: Path) -> Tokenizer:
    return load_tokenizer(teacher_folder)


def test_unused_and_special_tokens_go_the_rest_stays_in_order(base: Tokenizer):
    vocabulary = model_vocabulary(base, UNUSED_TOKENS)
    assert len(vocabulary.tokens) == 29_525
    assert vocabulary.n_removed == 994
    assert not any(re.match(UNUSED_TOKENS, token) for token in vocabulary.tokens)
    assert not {"[CLS]", "[SEP]", "[MASK]"} & set(vocabulary.tokens)
    assert list(vocabulary.base_ids) == sorted(vocabulary.base_ids)
    assert [base.id_to_token(i) for i in vocabulary.base_ids] == list(vocabulary.tokens)
    assert vocabulary.tokenizer.get_vocab() == {token: row for row, token in enumerate(vocabulary.tokens)}


def test_texts_split_as_before(base: Tokenizer, real_texts: list[str]):
    ours = model_vocabulary(base, UNUSED_TOKENS).tokenizer
    base.no_padding()
    base.no_truncation()
    for text in real_texts:
        assert ours.encode(text, add_special_tokens=False).tokens == base.encode(text, add_special_tokens=False).tokens


def test_template_holds_no_padding_even_when_the_file_pads(teacher_folder: Path):
    padded = Tokenizer.from_file(str(teacher_folder / "tokenizer.json"))
    padded.enable_padding(length=128)
    assert special_token_template(padded) == ([101], [102])


def test_a_pattern_that_removes_everything_is_refused(base: Tokenizer):
    with pytest.raises(BenchError, match=r"vocabulary\.remove='\.' removes every token"):
        model_vocabulary(base, ".")


def test_a_pattern_that_is_none_is_refused(base: Tokenizer):
    with pytest.raises(BenchError, match=r"vocabulary\.remove='\(' is not a regular expression"):
        model_vocabulary(base, "(")


def test_another_kind_of_tokenizer_is_named():
    with pytest.raises(BenchError, match="of the kind BPE; only WordPiece"):
        model_vocabulary(Tokenizer(models.BPE(vocab={"a": 0}, merges=[])), None)
