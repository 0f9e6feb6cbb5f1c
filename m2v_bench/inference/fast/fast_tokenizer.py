"""Split texts into token ids by looking up pre-tokens, in threads.

A new pre-token is split once, by compiled loops or the `tokenizers` package; from then on its ids are looked up. The
cache belongs to a model and lives as long as it does.
"""

import json
import threading
from collections.abc import Iterator, Sequence

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.inference.fast import kernels, split_kernels
from m2v_bench.inference.fast.boundaries import ASK, MISSING, NO_ROOM, WHOLE, Unproven, find_boundaries, probes
from m2v_bench.inference.fast.characters import characters_of
from m2v_bench.inference.fast.intrinsics import BLOCK
from m2v_bench.inference.fast.pieces import Pieces, Scratch
from m2v_bench.inference.fast.pretoken_cache import PretokenCache, Table, grown
from m2v_bench.inference.fast.utf8_kernels import PADDING
from m2v_bench.inference.fast.workers import FEWEST_TEXTS, in_threads, threads_for
from m2v_bench.inference.texts import check
from m2v_bench.inference.tokenizer import (
    BATCH_SIZE,
    Batch,
    BatchTokenizer,
    Rules,
    row_slices,
    text_lengths,
    tokenize_batch,
)

PIECES_PER_THREAD = 16  # of a batch
# Of a piece, unless a single text has more: with fewer, calls take more time than the processor's cache saves.
MOST_CHARACTERS = 1 << 18
FEWEST_CHARACTERS = 1 << 14  # of a piece, unless it has few texts
MAX_MISSING = 4096  # pre-tokens of a piece that are added to the cache at a time


class _Piece:
    """Consecutive texts of a batch, handled by one thread at a time: their bytes, and their ids as far as known."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts
        self.buffer, self.starts, self.ends = _utf8(texts)
        self.n_bytes = int(self.ends[-1]) - PADDING if len(texts) else 0
        self.id_starts, self.id_ends = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
        self.pending = np.empty((0, 4), np.int64)  # see `kernels.look_up`
        self.ids: list[np.ndarray] = []
        self.n_ids = 0

    def add(self, ids: np.ndarray, texts: np.ndarray) -> None:
        """Append the ids of some texts, whose places in `ids` are set."""
        if self.n_ids:
            self.id_starts[texts] += self.n_ids
            self.id_ends[texts] += self.n_ids
        self.ids.append(ids)
        self.n_ids += len(ids)

    def missing(self) -> list[bytes]:
        """Return the pre-tokens that are not in the cache."""
        if not len(self.pending):
            return []
        raw = self.buffer.data
        spans = self.pending[self.pending[:, 1] == MISSING, 2:4]
        return [raw[first:end].tobytes() for first, end in spans.tolist()]


class _Scratch:
    """Memory that threads reuse; allocating it for every piece would take as long as using it."""

    def __init__(self, pieces: Pieces) -> None:
        self.split = Scratch(pieces)
        self.table = Table(is_read=False)  # pre-tokens that were split while other threads read the cache
        self.ids, self.pending = np.empty(0, np.int32), np.empty((0, 4), np.int64)
        self.codes, self.counts = np.empty(0, np.int64), np.empty(2, np.int64)
        self.rows = np.empty((0, split_kernels.COLUMNS), np.uint64)
        self.recent = np.empty((split_kernels.RECENT, split_kernels.COLUMNS), np.uint64)

    def reserve(self, piece: _Piece, n_texts: int, n_ids: int) -> None:
        """Make room for `n_texts` texts of a piece, and their ids."""
        self.ids = grown(self.ids, n_ids)
        self.pending = grown(self.pending, n_texts + MAX_MISSING)
        n_pretokens = piece.n_bytes + n_texts  # at most
        self.codes = grown(self.codes, n_pretokens)
        self.rows = grown(self.rows, n_pretokens)
        self.split.reserve(len(piece.buffer))

    @property
    def is_large(self) -> bool:
        """Whether it is too large to keep."""
        return len(self.rows) > 8 * MOST_CHARACTERS


class FastTokenizer(BatchTokenizer):
    """Tokenize texts as `BatchTokenizer` does, by compiled loops.

    Raises:
        Unproven: when it is not known where the tokenizer's texts may be split, or the probes give other ids.
    """

    def __init__(self, tokenizer: Tokenizer, rules: Rules) -> None:
        super().__init__(tokenizer, rules)
        data = json.loads(tokenizer.to_str())
        self._boundaries = find_boundaries(data)
        self._characters = characters_of(self._boundaries)
        self._cache = PretokenCache(data["model"], self._boundaries)
        self._lock = threading.RLock()
        self._spare: list[_Scratch] = []  # one per thread at work
        _ = self._median_token_length  # of the whole vocabulary: takes longer than to embed a thousand texts
        texts = probes(self._boundaries.added)
        expected = tokenize_batch(tokenizer, texts, None, None).lists()
        for _ in range(2):  # with an empty cache, then with a full one
            if self.lists(texts, None, None) != expected:
                raise Unproven("its pre-tokens do not give the tokens of the whole text")

    def batches(self, texts: list[str], *, max_length: int | None, batch_size: int = BATCH_SIZE) -> Iterator[Batch]:
        """Yield the token ids of consecutive texts, as `BatchTokenizer.batches` does.

        With several threads a batch consists of many pieces of at most `batch_size` texts, so batches are larger.
        """
        try:
            lengths, threads = text_lengths(texts), threads_for(len(texts))
            n_pieces = 1 if threads == 1 else PIECES_PER_THREAD * threads
            for rows in row_slices(lengths, n_pieces * batch_size, n_pieces * MOST_CHARACTERS):
                parts = [
                    self.cut_characters(texts[piece], lengths[piece], max_length)
                    for piece in _divided(rows, lengths, n_pieces, batch_size)
                ]
                yield _joined(self._tokenize(parts, max_length, self.unknown, threads), rows.start)
        except (TypeError, UnicodeEncodeError):
            check(texts)  # not before, as it takes two percent of the time of short texts
            raise

    def lists(self, texts: Sequence[str], max_length: int | None, unknown: int | None) -> list[list[int]]:
        """Return the ids of `tokenize_batch` as one list per text."""
        return _joined(self._tokenize([texts], max_length, unknown), 0).lists()

    def _tokenize(
        self, parts: Sequence[Sequence[str]], max_length: int | None, unknown: int | None, threads: int = 1
    ) -> list[_Piece]:
        """Tokenize the texts of each part, which becomes a piece."""
        with self._lock:
            self._cache.make_usable()
            alone = threads == 1 or len(parts) == 1
            pieces = in_threads(lambda texts: self._begin(texts, max_length, unknown, alone=alone), parts, threads)
            # the cache changes here alone, while no thread reads it
            for scratch in self._spare:
                self._cache.merge(scratch.table)
            self._add_missing([pretoken for piece in pieces for pretoken in piece.missing()])
            for piece in pieces:
                self._finish(piece, max_length, unknown)
            return pieces

    def _begin(self, texts: Sequence[str], max_length: int | None, unknown: int | None, *, alone: bool) -> _Piece:
        piece = _Piece(texts)
        scratch = self._take_scratch()
        scratch.reserve(piece, len(texts), 64 + piece.n_bytes // 2)
        table = self._cache.table if alone else scratch.table
        self._look_up(piece, np.arange(len(texts)), scratch, (max_length, unknown), table)
        self._put_back(scratch)
        return piece

    def _take_scratch(self) -> _Scratch:
        try:
            return self._spare.pop()
        except IndexError:
            return _Scratch(self._cache.pieces)

    def _put_back(self, scratch: _Scratch) -> None:
        if not scratch.is_large:
            self._spare.append(scratch)

    def _look_up(
        self,
        piece: _Piece,
        texts: np.ndarray,
        scratch: _Scratch,
        limits: tuple[int | None, int | None],
        table: Table,
    ) -> None:
        """Look up the pre-tokens of some texts; what keeps a text from being done is then in `piece.pending`.

        Args:
            piece: texts and their ids.
            texts: numbers of the texts to do.
            scratch: memory.
            limits: longest text in tokens, and the id to drop; None for no limit.
            table: receives pre-tokens that are split on the way.
        """
        firsts, reasons = np.empty(len(texts) + 1, np.int64), np.empty(len(texts), np.uint8)
        split_kernels.split(
            *(piece.buffer, piece.starts, piece.ends, texts, self._boundaries.fields, self._characters.fields),
            *(self._cache.table.short, PADDING + piece.n_bytes),
            *(scratch.codes, scratch.counts, scratch.rows, scratch.recent, firsts, reasons),
        )
        pretokens = scratch.codes, scratch.counts, scratch.rows, firsts, reasons
        max_length, unknown = limits
        cut = 2**62 if max_length is None else min(max_length, 2**62), -1 if unknown is None else unknown
        table.reserve_for(piece.n_bytes)
        cache = self._cache.table
        tables = cache.arrays, table.arrays, table.used, table is not cache
        rules = self._cache.pieces.fields, self._cache.longest
        outputs = scratch.ids, piece.id_starts, piece.id_ends, scratch.pending, scratch.split.fields
        n_pending, n_ids = kernels.look_up(piece.buffer, texts, pretokens, *rules, tables, *cut, *outputs)
        piece.pending = scratch.pending[:n_pending].copy()
        piece.add(scratch.ids[:n_ids].copy(), texts)

    def _finish(self, piece: _Piece, max_length: int | None, unknown: int | None) -> None:
        """Do the texts that are left: those whose pre-tokens are in the cache by now, and those not to be split."""
        room = 64 + piece.n_bytes // 2  # too little, if that is the reason
        while len(piece.pending):
            numbers, reasons = piece.pending[:, 0], piece.pending[:, 1]
            whole = np.unique(numbers[reasons == WHOLE])
            again = np.setdiff1d(numbers, whole)
            self._characters.learn(piece.texts[i] for i in numbers[reasons == ASK].tolist())
            piece.pending = piece.pending[:0]
            piece.id_starts[again] = piece.id_ends[again] = 0
            if len(whole):
                batch = tokenize_batch(self.tokenizer, [piece.texts[i] for i in whole.tolist()], max_length, unknown)
                piece.id_starts[whole], piece.id_ends[whole] = batch.starts, batch.ends
                piece.add(batch.ids, whole)
            if len(again):
                room *= 2 if (reasons == NO_ROOM).any() else 1
                scratch = self._take_scratch()
                scratch.reserve(piece, len(again), room)
                self._look_up(piece, again, scratch, (max_length, unknown), self._cache.table)
                self._put_back(scratch)
                self._add_missing(piece.missing())

    def _add_missing(self, pretokens: Sequence[bytes]) -> None:
        """Tokenize pre-tokens and add them to the cache."""
        keys = list(dict.fromkeys(pretokens))
        if keys:
            encodings = self.tokenizer.encode_batch_fast([key.decode() for key in keys], add_special_tokens=False)
            self._cache.add(keys, [encoding.ids for encoding in encodings])


def _divided(rows: slice, lengths: np.ndarray, n_pieces: int, batch_size: int) -> list[slice]:
    """Divide the rows of a batch into about `n_pieces` pieces, fewer where they would be small."""
    if n_pieces == 1:
        return [rows]
    lengths = lengths[rows]
    size = min(batch_size, max(FEWEST_TEXTS, -(-len(lengths) // n_pieces)))
    characters = min(MOST_CHARACTERS, max(FEWEST_CHARACTERS, int(lengths.sum()) // n_pieces))
    pieces = row_slices(lengths, size, characters)
    return [slice(rows.start + piece.start, rows.start + piece.stop) for piece in pieces]


def _joined(pieces: Sequence[_Piece], start: int) -> Batch:
    """Return a batch of consecutive pieces; its first text is number `start` of the input."""
    if len(pieces) == 1 and len(pieces[0].ids) == 1:
        (piece,) = pieces
        return Batch(slice(start, start + len(piece.texts)), piece.ids[0], piece.id_starts, piece.id_ends)
    ids = np.concatenate([ids for piece in pieces for ids in piece.ids])
    counts = [len(piece.texts) for piece in pieces]
    offsets = np.repeat(np.cumsum([0, *(piece.n_ids for piece in pieces)])[:-1], counts)
    starts = np.concatenate([piece.id_starts for piece in pieces]) + offsets
    ends = np.concatenate([piece.id_ends for piece in pieces]) + offsets
    return Batch(slice(start, start + sum(counts)), ids, starts, ends)


def _utf8(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the UTF-8 bytes of texts, one byte between two, and where each begins and ends.

    `PADDING` bytes are before them; after them is room for texts with replaced characters, which may be longer, and at
    least `BLOCK` bytes.
    """
    encoded = list(map(str.encode, texts))
    raw = np.frombuffer(b"\0".join(encoded), np.uint8)
    sizes = text_lengths(encoded)
    ends = np.cumsum(sizes + 1) + (PADDING - 1)
    buffer = np.empty(PADDING + 4 * len(raw) + BLOCK, np.uint8)  # memory that nothing is written to costs nothing
    buffer[PADDING : PADDING + len(raw)] = raw
    return buffer, ends - sizes, ends
