"""Extend the merges of a byte-pair encoding, so that added tokens come out whole."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

Pair = tuple[str, str]


class Merges:
    """An ordered list of merges, extensible for new tokens as in model2vec 0.7."""

    def __init__(self, pairs: Iterable[Sequence[str]]) -> None:
        self._rank: dict[Pair, int] = {}
        self._parts: dict[str, None] = {}
        for left, right in pairs:
            self._add((left, right))

    @property
    def pairs(self) -> list[list[str]]:
        """The merges, highest priority first."""
        return [list(pair) for pair in self._rank]

    def extend(self, tokens: Sequence[str], new: Iterable[str]) -> list[str]:
        """Add merges for every token of `new`.

        Returns:
            `tokens`, then each new token followed by the parts that its merges need and that were not tokens yet.
        """
        known = dict.fromkeys(tokens)
        missing = {part for part in self._parts if part not in known}
        for token in new:
            known[token] = None
            missing.discard(token)
            missing.update(part for part in self._complete(token) if part not in known)
            known.update(dict.fromkeys(sorted(missing)))
            missing.clear()
        return list(known)

    def _add(self, pair: Pair) -> None:
        self._rank.setdefault(pair, len(self._rank))
        self._parts.update(dict.fromkeys(pair))

    def _complete(self, token: str) -> set[str]:
        """Add merges of neighbours until the token is whole; return the merged parts."""
        parts: set[str] = set()
        form = self._split(token)
        while len(form) > 1:
            for pair in zip(form[:-1:2], form[1::2], strict=False):
                self._add(pair)
                parts.update(pair)
            form = self._split(token)
        return parts

    def _split(self, token: str) -> list[str]:
        """Split `token` into pieces by the current merges."""
        form = list(token)
        while len(form) > 1:
            best = min(pairwise(form), key=lambda pair: self._rank.get(pair, len(self._rank)))
            if best not in self._rank:
                break
            merged, position = [], 0
            while position < len(form):
                joined = tuple(form[position : position + 2]) == best
                merged.append("".join(best) if joined else form[position])
                position += 2 if joined else 1
            form = merged
        return form
