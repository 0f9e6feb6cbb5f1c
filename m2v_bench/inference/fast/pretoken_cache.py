"""Token ids by way of a table of the parts of texts that were met before.

The `tokenizers` package says what the tokens of a part are, once; from then on they are looked up. The table belongs
to a model and lives as long as it does.
"""

import json
import string
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.inference.fast import kernels
from m2v_bench.inference.fast.boundaries import Cuts, Unproven, find_cuts, probes
from m2v_bench.inference.token_ids import Flat, flat_ids, reference_ids

LONGEST_PART = 128  # bytes; longer ones hardly come again
MOST_MISSING = 4096  # parts that are entered at a time
MOST_BYTES = 64_000_000  # of the table, before it starts anew

_NO_IDS, _NO_REST = np.empty(0, np.int32), np.empty((0, 4), np.int64)

Use = Callable[[int, Flat], None]
Runner = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


class _Texts:
    """Texts as bytes, and their ids as far as they are known."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.buffer, self.starts, self.ends = _bytes(texts)
        self.id_starts, self.id_ends = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        self.rest = np.empty((0, 4), np.int64)
        self._ids: list[np.ndarray] = []
        self._n_ids = 0

    def __len__(self) -> int:
        return len(self.starts)

    def missing_parts(self) -> list[bytes]:
        raw = self.buffer.data
        return [raw[first:end].tobytes() for first, end in self.rest[self.rest[:, 1] == kernels.PART, 2:].tolist()]

    def left(self) -> np.ndarray:
        """What of `rest` keeps a text from being done."""
        return self.rest[self.rest[:, 1] != kernels.LEARN]

    def add(self, ids: np.ndarray, texts: np.ndarray) -> None:
        """Take the ids of some texts, whose places in them are set."""
        if self._n_ids:
            self.id_starts[texts] += self._n_ids
            self.id_ends[texts] += self._n_ids
        self._ids.append(ids)
        self._n_ids += len(ids)

    def keep_ids(self, keep: bool) -> None:
        """Keep the ids so far in memory of their own, or not at all."""
        self._ids = [ids.copy() for ids in self._ids] if keep else []

    def flat(self) -> Flat:
        ids = self._ids[0] if len(self._ids) == 1 else np.concatenate(self._ids)
        return Flat(ids, self.id_starts, self.id_ends, is_fast=True)


class FastTokens:
    """A tokenizer with a table of parts. One thread at a time may call `each`, which has threads of its own."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Read where texts may be cut, and try it out.

        Raises:
            Unproven: when that is not known, or did not stand the test.
        """
        self._tokenizer = tokenizer
        data = json.loads(tokenizer.to_str())
        self._cuts = find_cuts(data)
        self._word_piece, self._pieces = _word_piece(data["model"], self._cuts)
        self._spare: list[tuple[np.ndarray, np.ndarray]] = []  # room for ids and for `rest`, one per thread at work
        self._clear()
        texts = probes(self._cuts.added)
        expected = reference_ids(tokenizer, texts, None, None).lists()
        for _ in range(2):  # into the empty table, and out of the full one
            if self.lists(texts, None, None) != expected:
                raise Unproven("its parts did not give the tokens of the whole")

    def _clear(self) -> None:
        self._whole = False  # an interrupt may come anywhere
        self._n_entries = 0
        self._taken = np.zeros(2, np.int64)  # of keys, of ids
        self._slots = np.zeros(1 << 12, np.uint64)
        self._entries = np.empty((1 << 11, kernels.ENTRY), np.uint64)
        self._keys, self._ids = np.empty(1 << 12, np.uint8), np.empty(1 << 12, np.int32)
        if self._pieces:
            self._append(list(self._pieces), [[id_] for id_ in self._pieces.values()], are_pieces=True)
        self._whole = True

    @property
    def _table(self) -> tuple[np.ndarray, ...]:
        return self._slots, self._entries, self._entries.view(np.int32), self._keys, self._ids

    def lists(self, texts: Sequence[str], max_length: int | None, unknown: int | None) -> list[list[int]]:
        """The ids as a list per text."""
        found: list[list[int]] = []
        self.each(1, lambda _: texts, max_length, unknown, lambda _, flat: found.extend(flat.lists()))
        return found

    def each(
        self,
        n_batches: int,
        batch: Callable[[int], Sequence[str]],
        max_length: int | None,
        unknown: int | None,
        use: Use,
        *,
        run: Runner = map,
    ) -> None:
        """Hand the ids of batches of texts, as `tokens.reference_ids` gives them, to `use`, with the batch's number.

        `batch` gives the texts of one. `run` is `map`, or spreads the batches over threads, in which `batch` and `use`
        are then called.
        """
        if not self._whole or 64 * self._n_entries + self._taken @ (1, 4) > MOST_BYTES:
            self._clear()
        limits = -1 if max_length is None else min(max_length, 2**62), -1 if unknown is None else unknown

        def begin(number: int) -> _Texts:
            texts = _Texts(batch(number))
            # memory of its own would cost a thread more than what it does with it
            try:
                ids, rest = self._spare.pop()
            except IndexError:
                ids, rest = _NO_IDS, _NO_REST
            ids, rest = _room(ids, 64 + len(texts.buffer) // 2), _room(rest, len(texts) + MOST_MISSING)
            self._tokenize(texts, np.arange(len(texts)), ids, rest, limits)
            done = not len(texts.left())
            if done:
                use(number, texts.flat())
            texts.keep_ids(not done)
            self._spare.append((ids, rest))
            return texts

        done = list(run(begin, range(n_batches)))
        # the table changes here alone, while no thread reads it
        self._enter([part for texts in done for part in texts.missing_parts()])
        for number, texts in enumerate(done):
            unfinished = len(texts.left()) > 0
            self._learn(texts)
            if unfinished:
                self._finish(texts, batch(number), limits, max_length, unknown)
                use(number, texts.flat())

    def _tokenize(
        self, texts: _Texts, which: np.ndarray, ids: np.ndarray, rest: np.ndarray, limits: tuple[int, int]
    ) -> None:
        """Look the parts of some texts up, with `ids` and `rest` as room; what is missing is then in `texts.rest`."""
        how = self._cuts.fields, self._word_piece, LONGEST_PART, self._table, *limits
        where = ids, texts.id_starts, texts.id_ends, rest
        n_rest, n = kernels.tokenize(texts.buffer, texts.starts, texts.ends, which, *how, *where)
        texts.rest = rest[:n_rest].copy()
        texts.add(ids[:n], which)

    def _finish(
        self, texts: _Texts, batch: Sequence[str], limits: tuple[int, int], max_length: int | None, unknown: int | None
    ) -> None:
        """Do the texts that were left: those whose parts are entered by now, and those that must not be cut."""
        room = 64 + len(texts.buffer) // 2  # what did not suffice, if that is the reason
        while len(texts.rest):
            number, reason = texts.rest[:, 0], texts.rest[:, 1]
            whole = np.unique(number[reason == kernels.WHOLE])
            again = np.setdiff1d(number, whole)
            texts.rest = texts.rest[:0]
            texts.id_starts[again] = texts.id_ends[again] = 0
            if len(whole):
                found = reference_ids(self._tokenizer, [batch[i] for i in whole.tolist()], max_length, unknown)
                texts.id_starts[whole], texts.id_ends[whole] = found.starts, found.ends
                texts.add(found.ids, whole)
            if len(again):
                room *= 2 if (reason == kernels.NO_ROOM).any() else 1
                rest = np.empty((len(again) + MOST_MISSING, 4), np.int64)
                self._tokenize(texts, again, np.empty(room, np.int32), rest, limits)
                self._enter(texts.missing_parts())
                self._learn(texts)

    def _enter(self, parts: Sequence[bytes]) -> None:
        """Ask the tokenizer for the ids of parts, and keep them."""
        keys = list(dict.fromkeys(part.lower() for part in parts) if self._cuts.folds else dict.fromkeys(parts))
        if not keys:
            return
        encodings = self._tokenizer.encode_batch_fast([key.decode() for key in keys], add_special_tokens=False)
        self._append(keys, [encoding.ids for encoding in encodings])

    def _append(self, keys: Sequence[bytes], their_ids: Sequence[Sequence[int]], *, are_pieces: bool = False) -> None:
        ids, id_offsets = flat_ids(their_ids)
        raw, offsets = np.frombuffer(b"".join(keys), np.uint8), np.cumsum([0, *map(len, keys)], dtype=np.int64)
        first = self._n_entries
        self._make_room(len(keys), len(raw), len(ids))
        kernels.enter(first, raw, offsets, ids, id_offsets, self._cuts.fold, are_pieces, self._table, self._taken)
        self._n_entries = first + len(keys)
        kernels.link(first, self._n_entries, self._table)

    def _learn(self, texts: _Texts) -> None:
        """Keep the words that were split on the way."""
        split = texts.rest[:, 1] == kernels.LEARN
        words, texts.rest = texts.rest[split, 2:], texts.rest[~split]
        if len(words):
            size = int((words[:, 1] - words[:, 0]).sum())
            self._make_room(len(words), size, size)
            self._n_entries = kernels.learn(
                *(self._n_entries, words, texts.buffer, self._cuts.fold, self._word_piece, self._table, self._taken)
            )

    def _make_room(self, n_entries: int, n_bytes: int, n_ids: int) -> None:
        last = self._n_entries + n_entries
        self._entries = _room(self._entries, last)
        self._keys = _room(self._keys, self._taken[0] + n_bytes)
        self._ids = _room(self._ids, self._taken[1] + n_ids)
        if 2 * last > len(self._slots):
            self._whole = False
            self._slots = np.zeros(1 << (2 * last).bit_length(), np.uint64)
            kernels.link(0, self._n_entries, self._table)
            self._whole = True


def _word_piece(model: dict[str, Any], cuts: Cuts) -> tuple[tuple[int, int, np.ndarray], dict[bytes, int]]:
    """What `kernels.tokenize` needs to split words of letters and digits itself, and the pieces, by their keys.

    WordPiece (Wu et al., 2016) takes the longest piece that fits, from left to right; a word without a way to its end
    is unknown, and so is one that is too long. There is nothing for other models.
    """
    simple = np.zeros(256, bool)
    if model["type"] != "WordPiece" or model["unk_token"] not in model["vocab"] or not cuts.splits_words:
        return (-1, 0, simple), {}
    simple[list((string.ascii_letters + string.digits).encode())] = True
    prefix = model["continuing_subword_prefix"]
    inside = bytes([kernels.INSIDE])
    longest = min(model["max_input_chars_per_word"], LONGEST_PART)  # no longer word is split here

    def reachable(piece: str) -> bool:
        lower = piece == piece.lower() or not cuts.folds
        return piece.isascii() and piece.isalnum() and lower and len(piece) <= longest

    pieces = {token.encode(): id_ for token, id_ in model["vocab"].items() if reachable(token)}
    for token, id_ in model["vocab"].items():
        if token.startswith(prefix) and reachable(token.removeprefix(prefix)):
            pieces[inside + token.removeprefix(prefix).encode()] = id_
    return (model["vocab"][model["unk_token"]], longest, simple), pieces


def _room(array: np.ndarray, size: int) -> np.ndarray:
    """The array, or a longer one with the same beginning."""
    if size <= len(array):
        return array
    longer = np.empty((2 * size, *array.shape[1:]), array.dtype)
    longer[: len(array)] = array
    return longer


def _bytes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """UTF-8 bytes of texts with a null between two, and where each begins and ends."""
    buffer = np.frombuffer("\0".join(texts).encode(), np.uint8)
    ends = np.empty(len(texts), np.int64)
    nulls = np.flatnonzero(buffer == 0)
    if len(nulls) == len(texts) - 1:
        ends[:-1] = nulls
        ends[-1] = len(buffer)
    else:  # a text holds one itself
        np.cumsum([len(text.encode()) + 1 for text in texts], out=ends)
        ends -= 1
    starts = np.zeros(len(texts), np.int64)
    starts[1:] = ends[:-1] + 1
    return buffer, starts, ends
