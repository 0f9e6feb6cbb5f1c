"""Search a corpus for mteb with arrays of candidates instead of a heap per query."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mteb._create_dataloaders import create_dataloader
from mteb.models.search_wrappers import SearchEncoderWrapper
from mteb.timing import TimingStack
from mteb.types import PromptType


class DenseSearch(SearchEncoderWrapper):
    """mteb's search for encoders, with the same similarities and the same documents per query.

    `mteb.models.search_wrappers.chunked_full_corpus_search` (mteb 2.26) pushes the best documents of each chunk one by
    one on a heap per query. Here they are merged as arrays. Chunks and the calls of `encode` and `similarity` are the
    same, so the similarities are, bit by bit; `largest` finds the documents that `torch.topk` would.
    """

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
        """Return score and id of the `top_k` documents of each query."""
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
        best = torch.empty((len(query_idx_to_id), 0)), torch.empty((len(query_idx_to_id), 0), dtype=torch.int64)
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
                scores = torch.as_tensor(self.model.similarity(query_embeddings, embeddings))
                worst = best[0].amin(dim=1, keepdim=True) if best[0].shape[1] == top_k else None
                values, places = largest(scores, min(top_k + 1, scores.shape[1]), worst)
                del embeddings, scores
                best = _merge(best, (values, places + start), top_k, ids)
        values, places = best
        return {
            query: zip(values[number].tolist(), [ids[place] for place in places[number].tolist()], strict=True)
            for number, query in query_idx_to_id.items()
        }


Candidates = tuple[torch.Tensor, torch.Tensor]  # scores and places in the corpus, both of shape (queries, candidates)

_ROWS = 64  # rows that stay in the processor's cache while they are searched
_STEP = 16  # every so many columns are looked at to estimate how large the largest numbers are


def largest(scores: torch.Tensor, count: int, worst: torch.Tensor | None) -> Candidates:
    """Return the largest numbers of each row and their columns, as `torch.topk` does, with equal ones in any order.

    torch.topk takes longer than the product that gives the scores. Here it gets only the numbers above a limit.

    Args:
        scores: float32 of shape (rows, columns).
        count: how many numbers to return.
        worst: of shape (rows, 1); numbers below it may be replaced by -inf.
    """
    few = worst is None and scores.shape[1] < 2 * _STEP * count
    if few or scores.device.type != "cpu":
        values, columns = torch.topk(scores, count, dim=1)
        return values.cpu(), columns.cpu()
    best = torch.full((len(scores), count), -torch.inf), torch.zeros((len(scores), count), dtype=torch.int64)
    for start in range(0, len(scores), _ROWS):
        rows = slice(start, start + _ROWS)
        _largest_of(scores[rows], None if worst is None else worst[rows], (best[0][rows], best[1][rows]))
    return best


def _largest_of(scores: torch.Tensor, worst: torch.Tensor | None, best: Candidates) -> None:
    """Write the largest numbers of some rows to `best`, which is filled with -inf."""
    count = best[0].shape[1]
    limit = worst
    if limit is None:
        expected = count / _STEP
        # five standard deviations above what is expected, so that hardly a row has too few numbers above the limit
        limit = torch.topk(scores[:, ::_STEP], int(expected + 5 * expected**0.5) + 1, dim=1).values[:, -1:]
    flat = np.flatnonzero(scores.numpy() >= limit.numpy())
    row, column = np.divmod(flat, scores.shape[1])
    counts = np.bincount(row, minlength=len(scores))
    place = np.arange(len(flat)) - np.repeat(np.cumsum(counts) - counts, counts)
    kept = np.full((len(scores), max(int(counts.max()), count + 1)), -np.inf, np.float32)
    columns = np.zeros(kept.shape, np.int64)
    kept[row, place], columns[row, place] = scores.numpy().ravel()[flat], column
    ranked, order = torch.topk(torch.from_numpy(kept), count + 1, dim=1)
    best[0][:] = ranked[:, :count]
    best[1][:] = torch.from_numpy(columns).gather(1, order[:, :count])
    # torch.topk itself decides which of several equal numbers are in
    enough = torch.from_numpy(counts)
    again = (enough > count) & (ranked[:, count - 1] == ranked[:, count])
    if worst is None:
        again |= enough < count
    if again.any():
        best[0][again], best[1][again] = torch.topk(scores[again], count, dim=1)


def _merge(one: Candidates, other: Candidates, top_k: int, ids: Sequence[str]) -> Candidates:
    """Return the `top_k` best of both by score; among equal scores, the documents with the largest ids."""
    scores, places = torch.cat([one[0], other[0]], dim=1), torch.cat([one[1], other[1]], dim=1)
    if scores.shape[1] <= top_k:
        return scores, places
    ranked, order = torch.topk(scores, top_k + 1, dim=1)
    kept = places.gather(1, order)
    for query in torch.nonzero(ranked[:, top_k - 1] == ranked[:, top_k]).flatten().tolist():
        tied = scores[query] == ranked[query, top_k]
        chosen = sorted(places[query][tied].tolist(), key=ids.__getitem__, reverse=True)
        first = int((ranked[query] > ranked[query, top_k]).sum())
        kept[query, first:top_k] = torch.tensor(chosen[: top_k - first])
    return ranked[:, :top_k], kept[:, :top_k]
