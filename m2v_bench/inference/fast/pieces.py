"""Turn a tokenizer's model into the arrays with which `kernels` splits new pre-tokens into pieces."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from m2v_bench.inference.fast import kernels
from m2v_bench.inference.fast.boundaries import BEFORE_SPACES, EXPRESSION, MARKS, Boundaries, byte_characters

_WORD_SPACE = "▁"
_INSIDE = b"\xff"  # before a piece that continues a word; in no UTF-8
_NONE = -1


class Pieces:
    """A model's vocabulary.

    Args:
        model: the `model` of a tokenizer's JSON.
        boundaries: how texts are split into pre-tokens.

    Attributes:
        entries: what the cache holds from the start, and its ids: the words of WordPiece, or the tokens of a BPE that
            takes a pre-token that is a token as it is.
        fields: the arrays as `kernels.look_up` takes them.
    """

    def __init__(self, model: Mapping[str, Any], boundaries: Boundaries) -> None:
        self.entries: dict[bytes, int] = {}
        kind = kernels.NO_PIECES
        word_piece, bpe, unigram = _NO_WORD_PIECE, _NO_BPE, _NO_UNIGRAM
        if boundaries.mode == MARKS:
            kind = kernels.WORD_PIECE
            word_piece, self.entries = _word_piece(model), _words(model, boundaries)
        elif boundaries.mode > BEFORE_SPACES and model["type"] == "BPE":
            kind = kernels.BPE
            bpe = _bpe(model, in_bytes=boundaries.mode == EXPRESSION)
            if model.get("ignore_merges"):
                self.entries = _byte_level_tokens(model["vocab"])
        elif boundaries.mode > BEFORE_SPACES:
            kind = kernels.UNIGRAM
            unigram = _unigram(model)
        self.fields = kind, word_piece, bpe, unigram


class Scratch:
    """Memory to split pre-tokens, as `kernels` takes it."""

    def __init__(self, pieces: Pieces) -> None:
        self._is_unigram = pieces.fields[0] == kernels.UNIGRAM
        symbols = kernels.MOST_SYMBOLS if pieces.fields[0] == kernels.BPE else 1
        links = np.empty(symbols, np.int32), np.empty(symbols, np.int32), np.empty(2 * symbols, np.int32)
        self._symbols = np.empty(symbols, np.int32), np.empty(symbols, np.uint64), links
        self._path = np.empty(1, np.float64), np.empty(1, np.int64), np.empty(1, np.int32)

    def reserve(self, n_bytes: int) -> None:
        """Make room for pre-tokens of so many bytes."""
        if self._is_unigram and n_bytes + 2 > len(self._path[0]):
            size = 2 * n_bytes + 2
            self._path = np.empty(size, np.float64), np.empty(size, np.int64), np.empty(size, np.int32)

    @property
    def fields(self) -> tuple[Any, ...]:
        """The arrays."""
        return self._symbols, self._path


# the same types as those of a model
_NO_BYTES = np.full(256, _NONE, np.int32)
_NO_MERGES = np.zeros((1, 2), np.uint64), np.zeros(1, np.uint64)
_NO_TRIE = np.full((1, 3), _NONE, np.int32)
_NO_WORD_PIECE = (_NONE, 0, _NO_TRIE)
_NO_BPE: tuple[Any, ...] = (_NO_BYTES, np.empty(0, np.int32), _NO_MERGES, np.empty(0, np.uint64))
_NO_UNIGRAM = (_NONE, 0.0, _NO_BYTES, np.empty(0, np.float64), _NO_TRIE)


def _word_piece(model: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the pieces of WordPiece (Wu et al., 2016).

    It takes the longest matching piece, from left to right; a word that cannot be matched to its end is unknown, and so
    is one that is too long.

    Returns:
        The unknown id; the longest word in characters; and the trie, see `kernels.link_trie`.
    """
    pieces = {token.encode(): id_ for token, id_ in model["vocab"].items()}
    prefix = model["continuing_subword_prefix"]
    for token, id_ in model["vocab"].items():
        if token.startswith(prefix):
            pieces[_INSIDE + token.removeprefix(prefix).encode()] = id_
    pieces.setdefault(_INSIDE, kernels.NO_ID)  # so that the node exists, if no piece continues a word
    longest = min(model["max_input_chars_per_word"], np.iinfo(np.int64).max)
    return model["vocab"][model["unk_token"]], longest, _trie(pieces)


def _words(model: Mapping[str, Any], boundaries: Boundaries) -> dict[bytes, int]:
    """Return the tokens of WordPiece that are words, and that no text changes on its way to the model."""
    lowers, longest = boundaries.lowers, model["max_input_chars_per_word"]
    return {
        token.encode(): id_
        for token, id_ in model["vocab"].items()
        if token.isascii() and len(token) <= longest and not (lowers and token != token.lower())
    }


def _bpe(model: Mapping[str, Any], *, in_bytes: bool) -> tuple[Any, ...]:
    """Return the merges of a BPE (Sennrich et al., 2016), the most frequent first.

    Args:
        model: the model.
        in_bytes: whether the symbols to merge are bytes, rather than characters.

    Returns:
        Ids of bytes, int32 of shape (256,); ids of characters by code point, int32, empty for bytes, -1 for characters
        that are split into bytes; the tables of `kernels.link_pairs`; and for bytes those of `kernels.rank_bytes`.
    """
    vocabulary = model["vocab"]
    if in_bytes:
        characters = np.empty(0, np.int32)
        ids = [vocabulary.get(character, _NONE) for character in byte_characters()]
    else:
        characters = np.full(0x110000, _NONE, np.int32)
        for token, id_ in vocabulary.items():
            if len(token) == 1:
                characters[ord(token)] = id_
        characters[ord(" ")] = characters[ord(_WORD_SPACE)]
        ids = [vocabulary[f"<0x{byte:02X}>"] for byte in range(256)]
    pairs = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
    left = np.array([vocabulary[one] for one, _ in pairs], np.uint64)
    right = np.array([vocabulary[other] for _, other in pairs], np.uint64)
    merged = np.array([vocabulary[one + other] for one, other in pairs], np.uint64)
    merges = _empty_merges(len(pairs))
    kernels.link_pairs(left << np.uint64(32) | right, merged, merges)
    of_bytes = np.empty(1 << 16 if in_bytes else 0, np.uint64)
    if in_bytes:
        kernels.rank_bytes(np.array(ids, np.int32), merges, of_bytes)
    return np.array(ids, np.int32), characters, merges, of_bytes


def _byte_level_tokens(vocabulary: Mapping[str, int]) -> dict[bytes, int]:
    bytes_of = {character: byte for byte, character in enumerate(byte_characters())}
    return {
        bytes(bytes_of[character] for character in token): id_
        for token, id_ in vocabulary.items()
        if bytes_of.keys() >= set(token)
    }


def _unigram(model: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the pieces of a Unigram model (Kudo, 2018) and their scores.

    Returns:
        The unknown id and its score; ids of bytes, int32 of shape (256,), -1 without them; scores by id, float64; and
        the trie of the pieces, in which a space is one byte, see `kernels.link_trie`.
    """
    scores = np.array([score for _, score in model["vocab"]], np.float64)
    ids = _NO_BYTES
    if model.get("byte_fallback"):
        by_token = {token: id_ for id_, (token, _) in enumerate(model["vocab"])}
        ids = np.array([by_token.get(f"<0x{byte:02X}>", _NONE) for byte in range(256)], np.int32)
    tokens = [token.replace(_WORD_SPACE, " ").encode() for token, _ in model["vocab"]]
    penalty = 10.0  # `K_UNK_PENALTY` of SentencePiece
    return model["unk_id"], scores.min() - penalty, ids, scores, _trie({token: id_ for id_, token in enumerate(tokens)})


def _trie(pieces: Mapping[bytes, int]) -> np.ndarray:
    """Return the trie of pieces and their ids."""
    tokens = sorted(pieces)
    ids = [pieces[token] for token in tokens]
    offsets = np.cumsum([0, *map(len, tokens)], dtype=np.int64)
    raw = np.frombuffer(b"".join(tokens), np.uint8)
    inputs = raw, offsets, np.array(ids, np.int32)
    scratch = (*(np.zeros(len(raw) + 1, np.int64) for _ in range(3)), np.empty(256, np.uint8))
    slots, used = len(raw) + 1024, -1
    while used < 0:
        trie = np.full((slots, 3), _NONE, np.int32)
        used = kernels.link_trie(*inputs, *scratch, trie)
        slots *= 2
    return trie[: used + 256].copy()  # any byte may be looked up from any node


def _empty_merges(n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    n_slots = 1 << (2 * n_pairs + 1).bit_length()
    return np.zeros((n_slots, 2), np.uint64), np.zeros(max(1, n_slots // 16), np.uint64)


def link_nothing() -> None:
    """Call the loops that only some models need, so that they are compiled."""
    from m2v_bench.inference.fast.utf8_kernels import neighbours

    _bpe({"vocab": {}, "merges": []}, in_bytes=True)
    _unigram({"vocab": [("a", 0.0)], "unk_id": 0})
    neighbours(np.frombuffer(bytes(4), np.uint32), *(np.zeros(0x110000, bool) for _ in range(2)))
