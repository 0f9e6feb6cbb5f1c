"""Test merges of byte-pair encoding."""

from tokenizers import Tokenizer, models

from m2v_bench.distillation.tokenizers.merges import Merges


def whole(tokens: list[str], merges: Merges, text: str) -> list[str]:
    vocabulary = {token: row for row, token in enumerate(tokens)}
    model = models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in merges.pairs])
    return Tokenizer(model).encode(text).tokens


def test_new_token_comes_out_whole():
    merges = Merges([["a", "b"]])
    tokens = merges.extend(["a", "b", "c", "d", "ab"], ["abcd"])
    # ab is a piece already; with c, then with d
    assert tokens == ["a", "b", "c", "d", "ab", "abcd", "abc"]
    assert merges.pairs == [["a", "b"], ["ab", "c"], ["abc", "d"]]
    assert whole(tokens, merges, "abcd") == ["abcd"]
    assert whole(tokens, merges, "ab") == ["ab"]


def test_neighbours_are_joined_pairwise():
    merges = Merges([])
    tokens = merges.extend(list("abcde"), ["abcde"])
    assert merges.pairs == [["a", "b"], ["c", "d"], ["ab", "cd"], ["abcd", "e"]]
    assert tokens == [*"abcde", "abcde", "ab", "abcd", "cd"]
    assert whole(tokens, merges, "abcde") == ["abcde"]


def test_repeated_part_is_merged_everywhere():
    merges = Merges([["a", "b"]])
    merges.extend(["a", "b", "ab"], ["ababab"])
    assert whole(["a", "b", "ab", "ababab", "abab"], merges, "ababab") == ["ababab"]
