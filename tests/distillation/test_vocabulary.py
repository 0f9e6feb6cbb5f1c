"""Test vocabulary properties beyond the golden files: counts, order, and choices that no release defines."""

import re
from pathlib import Path

import pytest
from tokenizers import Tokenizer

from m2v_bench.distillation.recipe import UNUSED_TOKENS
from m2v_bench.distillation.tokenizers.teacher_tokenizer import BaseTokenizer, load_tokenizer
from m2v_bench.distillation.vocabulary import Vocabulary, build_vocabulary
from m2v_bench.distillation.words import Words
from m2v_bench.errors import BenchError
from tests.golden.tiny_models import build_bpe, build_qwen, build_unigram


@pytest.fixture(scope="module")
def base(teacher_folder: Path) -> BaseTokenizer:
    return load_tokenizer(teacher_folder)


@pytest.fixture(scope="module", params=["wordpiece", "bpe", "unigram", "qwen"])
def any_base(
    request: pytest.FixtureRequest, base: BaseTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> BaseTokenizer:
    if request.param == "wordpiece":
        return base
    folder = tmp_path_factory.mktemp(request.param)
    {"bpe": build_bpe, "unigram": build_unigram, "qwen": build_qwen}[request.param](folder)
    return load_tokenizer(folder)


def build(base: BaseTokenizer, words: Words | None = None, **settings: str) -> Vocabulary:
    return build_vocabulary(
        base, words, **{"remove": UNUSED_TOKENS, "surgery": "pruned", "sequence": "template", **settings}
    )


def whole(*words: str) -> Words:
    return Words("test", words, subwords=False)


def beside(*words: str) -> Words:
    return Words("test", words, subwords=True)


def test_unused_and_special_tokens_are_dropped(base: BaseTokenizer):
    vocabulary = build(base)
    assert len(vocabulary.tokens) == 29_525
    assert vocabulary.report.removed == 994
    assert not any(re.match(UNUSED_TOKENS, token) for token in vocabulary.tokens)
    assert not {"[CLS]", "[SEP]", "[MASK]"} & set(vocabulary.tokens)
    ids = [sequence[1] for sequence in vocabulary.sequences]
    assert ids == sorted(ids)
    assert [base.tokenizer.id_to_token(i) for i in ids] == list(vocabulary.tokens)
    assert vocabulary.tokenizer.get_vocab() == {token: row for row, token in enumerate(vocabulary.tokens)}


def test_texts_are_tokenized_as_by_the_base_model(any_base: BaseTokenizer, real_texts: list[str]):
    if len(any_base.data["pre_tokenizer"].get("pretokenizers", [])) > 1:
        pytest.skip("every part of a text gets a space, as in the releases")
    ours = build(any_base).tokenizer
    before = Tokenizer.from_str(any_base.tokenizer.to_str())
    before.no_truncation()
    for text in real_texts[:200]:
        # a byte-level tokenizer of ours puts a space before the first word, as it does before the others
        spaced = f" {text}" if any_base.kind == "BPE" else text
        expected = before.encode(spaced, add_special_tokens=False).tokens
        assert ours.encode(text, add_special_tokens=False).tokens == expected


def test_words_without_subwords(any_base: BaseTokenizer):
    vocabulary = build(any_base, whole("river", "new york", "rivers", "river"))
    tokenizer = vocabulary.tokenizer
    unknown = tokenizer.token_to_id(any_base.unknown)
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in ("river", "a new york river", "riverside")]
    assert len(ids[0]) == 1
    assert [i for i in ids[1] if i != unknown] == [tokenizer.token_to_id("new york"), ids[0][0]]
    assert set(ids[2]) == {unknown}
    assert (vocabulary.report.added, vocabulary.report.duplicate, vocabulary.report.multiword) == (3, 1, 1)
    # the padding and the unknown token, which may be one: rows of zeros
    special = {any_base.padding, any_base.unknown}
    assert set(vocabulary.tokens[: vocabulary.n_subwords]) == special
    assert not any(vocabulary.sequences[: vocabulary.n_subwords])
    assert all(vocabulary.sequences[vocabulary.n_subwords :])


@pytest.mark.parametrize("surgery", ["extended", "unigram", "pruned"])
@pytest.mark.parametrize("subwords", [True, False])
def test_every_word_is_counted_once(any_base: BaseTokenizer, surgery: str, subwords: bool):
    if surgery == "extended" and any_base.kind != "WordPiece":
        pytest.skip("these releases extend WordPiece")
    listed = ("", "the", "zyzzyva", "zyzzyva", "ZYZZYVA", "日本語☠", "removeme", "new york", "new york")
    words = Words("test", listed, subwords=subwords)
    with_words, without = (
        build(any_base, words, surgery=surgery, remove=remove) for remove in (None, "(Ġ|▁)?removeme")
    )
    for report in (with_words.report, without.report):
        removed = without.report.removed if subwords else report.removed
        assert report.given == 9 == report.added + report.empty + report.duplicate + (report is without.report)
        assert removed >= (report is without.report)
    assert with_words.report.empty >= 1
    assert with_words.report.duplicate >= 2
    if any_base.kind != "BPE":  # a BPE vocabulary also gets the parts of its new tokens
        assert with_words.report.added == len(with_words.tokens) - with_words.n_subwords


def test_words_without_known_pieces_are_counted(base: BaseTokenizer):
    report = build(base, beside("☠", "zyzzyva")).report
    assert (report.added, report.unsplittable) == (2, 1)


def test_added_word_is_one_token(any_base: BaseTokenizer):
    vocabulary = build(any_base, beside("internationalization", "ice cream"))
    texts = ["the internationalization of", "an ice cream van"]
    for text, token in zip(texts, ("internationalization", "ice cream"), strict=True):
        tokens = vocabulary.tokenizer.encode(text, add_special_tokens=False).tokens
        assert any(token in piece for piece in tokens), tokens
    assert len(vocabulary.sequences) == len(vocabulary.tokens) == vocabulary.tokenizer.get_vocab_size()


def test_swapped_sequence_begins_with_the_last_special_token(base: BaseTokenizer):
    vocabulary = build(base, beside("zyzzyva"), surgery="extended", sequence="swapped")
    assert vocabulary.sequences[0] == (102, 0, 101)
    assert (vocabulary.sequences[-1][0], vocabulary.sequences[-1][-1]) == (101, 102)  # words are not swapped


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (None, {"remove": "."}, r"token_remove_pattern='\.' removes every token"),
        (None, {"remove": "("}, r"token_remove_pattern='\(' is not a regular expression"),
        (beside("the", ""), {}, r"no word is left to add \(0 of 2 words added; left out 1 empty, 1 duplicate"),
        (whole("a", "b"), {"remove": "[ab]"}, r"no word is left to add \(0 of 2 words added"),
    ],
)
def test_empty_vocabulary_is_refused(base: BaseTokenizer, words: Words | None, settings: dict[str, str], message: str):
    with pytest.raises(BenchError, match=message):
        build(base, words, **settings)


def test_words_for_an_unsupported_tokenizer_are_refused(any_base: BaseTokenizer):
    if any_base.kind == "WordPiece":
        pytest.skip("these releases extend WordPiece")
    with pytest.raises(BenchError, match=r"adds words to WordPiece tokenizers only .* choose dialect=m2v-0\.7"):
        build(any_base, beside("zyzzyva"), surgery="extended")
