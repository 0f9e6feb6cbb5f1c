"""Search a corpus for mteb with arrays of candidates instead of a heap per query."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mteb._create_dataloaders import create_dataloader
from mteb.models.search_wrappers import SearchEncoderWrapper
from mteb.timing import TimingStack
from mteb.types import PromptType

from m2v_bench.evaluation.mteb_encoder import MtebEncoder
from m2v_bench.inference.fast.workers import in_threads
from m2v_bench.system.threads import n_threads


class DenseSearch(SearchEncoderWrapper):
    """mteb's search for encoders, with the same similarities and the same documents per query.

    `mteb.models.search_wrappers.chunked_full_corpus_search` (mteb 2.26) pushes the best documents of each chunk one by
    one on a heap per query. Here they are merged as arrays. Chunks and the calls of `encode` are the same, and
    `MtebEncoder.similarities` gives the same similarities, bit by bit; `largest` finds the documents that `torch.topk`
    would.
    """

    _found: dict[str, dict[str, float]] | None = None

    def search(self, *args: Any, **kwargs: Any) -> Any:
        """Return the score of each document by query and id; mteb's own loop over the documents is slow."""
        self._found = None
        results = super().search(*args, **kwargs)
        return results if self._found is None else self._found

    def _full_corpus_search(  # type: ignore[override]
        self,
        *,
        query_idx_to_id: dict[int, str],
        query_embeddings: Any,
        top_k: int,
        encode_kwargs: Any,
        timer: TimingStack,
        **context: Any,
    ) -> Mapping[str, Iterable[tuple[float, str]]]:
        """Find the `top_k` documents of each query, which `search` returns."""
        corpus = self.task_corpus
        assert corpus is not None  # `search` checks it
        ids, queries = corpus["id"], query_idx_to_id.values()
        if len(set(ids)) < len(ids) or len(set(queries)) < len(queries):  # the heaps decide what a repeated id means
            return super()._full_corpus_search(
                query_idx_to_id=query_idx_to_id,
                query_embeddings=query_embeddings,
                top_k=top_k,
                encode_kwargs=encode_kwargs,
                timer=timer,
                **context,
            )
        best: dict[int, _Best] = defaultdict(lambda: _Best(top_k, ids))
        with timer("Searching corpus", split=context["hf_split"], subset=context["hf_subset"]):
            for start in range(0, len(ids), self.corpus_chunk_size):
                part = corpus.select(range(start, min(start + self.corpus_chunk_size, len(ids))))
                batches = create_dataloader(
                    part,
                    task_metadata=context["task_metadata"],
                    prompt_type=PromptType.document,
                    batch_size=encode_kwargs.get("batch_size", 32),
                )
                embeddings = self.model.encode(batches, prompt_type=PromptType.document, **context, **encode_kwargs)
                _search(self._similarities(query_embeddings, embeddings), best, start)
                del embeddings
        all_ids = np.array(ids, object)
        self._found = {query: {} for query in queries}
        for first in sorted(best):
            for number, (values, places) in enumerate(zip(*best[first].pruned(), strict=True), first):
                found = dict(zip(all_ids[places].tolist(), values.tolist(), strict=True))
                self._found[query_idx_to_id[number]] = found
        return {}

    def _similarities(self, queries: Any, documents: Any) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield the similarities of consecutive queries with all documents; a later block may overwrite them."""
        if isinstance(self.model, MtebEncoder):
            yield from self.model.similarities(queries, documents)
        else:
            scores = torch.as_tensor(self.model.similarity(queries, documents)).cpu().numpy()
            yield slice(0, len(scores)), scores


Candidates = tuple[np.ndarray, np.ndarray]  # scores and places in the corpus, both of shape (queries, candidates)

_ROWS = 16  # rows that stay in the processor's cache while they are searched
_STEP = 16  # every so many columns are looked at to estimate how large the largest numbers are


class _Best:
    """The best documents of some queries so far.

    Candidates accumulate and are pruned once there are many, as pruning takes longer than searching a chunk.
    """

    def __init__(self, top_k: int, ids: Sequence[str]) -> None:
        self._top_k, self._ids = top_k, ids
        self._parts: list[Candidates] = []
        self._worst: np.ndarray | None = None  # of shape (queries, 1): no document below it is among the best

    def add(self, scores: np.ndarray, start: int) -> None:
        """Add a chunk of documents, the first of which is at place `start`: float32 of shape (queries, documents)."""
        values, places = largest(scores, min(self._top_k + 1, scores.shape[1]), self._worst)
        self._parts.append((values, places + start))
        n_candidates = sum(part[0].shape[1] for part in self._parts)
        if n_candidates > 2 * self._top_k or (self._worst is None and n_candidates >= self._top_k):
            values, _ = self.pruned()
            self._worst = values.min(axis=1, keepdims=True)

    def pruned(self) -> Candidates:
        """Return the best documents, in any order."""
        scores, places = (np.concatenate(part, axis=1) for part in zip(*self._parts, strict=True))
        best = _best_of(scores, places, self._top_k, self._ids)
        self._parts = [best]
        return best


def _search(blocks: Iterable[tuple[slice, np.ndarray]], best: dict[int, _Best], start: int) -> None:
    """Search a chunk of documents.

    Args:
        blocks: consecutive queries, the same in every chunk, and their similarities with the documents of the chunk.
        best: the best documents so far, by the first of every `_ROWS` queries.
        start: place of the chunk's first document.
    """
    for block, scores in blocks:

        def search(rows: slice, first: int = block.start, scores: np.ndarray = scores) -> None:
            best[rows.start].add(scores[rows.start - first : rows.stop - first], start)

        rows = [slice(row, min(row + _ROWS, block.stop)) for row in range(block.start, block.stop, _ROWS)]
        in_threads(search, rows, n_threads())


def largest(scores: np.ndarray, count: int, worst: np.ndarray | None) -> Candidates:
    """Return the largest numbers of each row and their columns, as `torch.topk` does, in any order.

    torch.topk takes longer than the product that gives the scores. Here only the numbers above a limit are compared.

    Args:
        scores: float32 of shape (rows, columns).
        count: how many numbers to return.
        worst: of shape (rows, 1); numbers below it may be left out, or replaced by -inf.
    """
    limit = worst
    if limit is None:
        if scores.shape[1] < 2 * _STEP * count:
            return _topk(scores, count)
        expected = count / _STEP
        # five standard deviations above what is expected, so that hardly a row has too few numbers above the limit
        enough = int(expected + 5 * expected**0.5) + 1
        limit = np.partition(scores[:, ::_STEP], -enough, axis=1)[:, -enough, None]
    flat = np.flatnonzero(scores >= limit)
    row, column = np.divmod(flat, scores.shape[1])
    counts = np.bincount(row, minlength=len(scores))
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    few = worst is not None and counts.max() <= count
    width = counts.max() if few else max(counts.max(), count + 1)
    kept, columns = np.full((len(scores), width), -np.inf, np.float32), np.zeros((len(scores), width), np.int64)
    kept[row, place], columns[row, place] = scores.ravel()[flat], column
    if few:
        return kept, columns
    values, next_, order = _partition(kept, count)
    best = values, np.take_along_axis(columns, order, axis=1)
    # torch.topk itself decides which of several equal numbers are in
    again = (counts > count) & (values.min(axis=1) == next_)
    if worst is None:
        again |= counts < count
    if again.any():
        best[0][again], best[1][again] = _topk(scores[again], count)
    return best


def _topk(scores: np.ndarray, count: int) -> Candidates:
    values, columns = torch.topk(torch.from_numpy(scores), count, dim=1)
    return values.numpy(), columns.numpy()


def _partition(scores: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the `count` largest numbers of each row in any order, the next smaller one, and their columns."""
    order = np.argpartition(scores, -count - 1, axis=1)[:, -count - 1 :]
    ranked = np.take_along_axis(scores, order, axis=1)
    return ranked[:, 1:], ranked[:, 0], order[:, 1:]


def _best_of(scores: np.ndarray, places: np.ndarray, top_k: int, ids: Sequence[str]) -> Candidates:
    """Return the `top_k` best candidates by score; among equal scores, the documents with the largest ids."""
    if scores.shape[1] <= top_k:
        return scores, places
    values, next_, order = _partition(scores, top_k)
    kept = np.take_along_axis(places, order, axis=1)
    for query in np.flatnonzero(values.min(axis=1) == next_):
        tied = np.flatnonzero(scores[query] == next_[query])
        better = np.flatnonzero(scores[query] > next_[query])
        chosen = sorted(places[query, tied].tolist(), key=ids.__getitem__, reverse=True)[: top_k - len(better)]
        values[query] = np.append(scores[query, better], np.full(len(chosen), next_[query]))
        kept[query] = np.append(places[query, better], chosen)
    return values, kept
