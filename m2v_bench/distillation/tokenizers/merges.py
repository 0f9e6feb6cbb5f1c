"""Merges of byte-pair encoding: how a token that is added becomes reachable."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

Pair = tuple[str, str]


class Merges:
    """An ordered list of merges that can be extended so that new tokens come out whole (as model2vec 0.7 does)."""

    def __init__(self, pairs: Iterable[Sequence[str]]) -> None:
        self._rank: dict[Pair, int] = {}
        self._parts: dict[str, None] = {}
        for left, right in pairs:
            self._add((left, right))

    @property
    def pairs(self) -> list[list[str]]:
        """The merges, most important first."""
        return [list(pair) for pair in self._rank]

    def extend(self, tokens: Sequence[str], new: Iterable[str]) -> list[str]:
        """Add merges for every token of `new`.

        Returns:
            `tokens`, then each new token followed by the parts that its merges need and no token was yet.
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
        """Merge neighbours pairwise until the token is whole; the parts that take part."""
        parts: set[str] = set()
        form = self._split(token)
        while len(form) > 1:
            for pair in zip(form[:-1:2], form[1::2], strict=False):
                self._add(pair)
                parts.update(pair)
            form = self._split(token)
        return parts

    def _split(self, token: str) -> list[str]:
        """The pieces that the merges make of `token`."""
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
