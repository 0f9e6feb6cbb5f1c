"""Whether a model takes the compiled loops: they need numba, a tokenizer that they are proven on, and enough to do."""

import importlib.util
import threading
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from m2v_bench.errors import BenchError

if TYPE_CHECKING:
    from m2v_bench.inference.fast_tokens import FastTokens

# Loading numba and the compiled loops takes about as long as the tokenizers package does for so many characters.
WORTH_IT = 1_000_000
_INSTALL = "pip install 'm2v-bench[fast]'"


class FastPath:
    """A model's compiled loops, made when they are first worth it.

    Attributes:
        lock: to be held by whoever uses what `tokens` gives.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.lock = threading.RLock()
        self._tokenizer = tokenizer
        self._tokens: FastTokens | None = None
        self._obstacle: str | None = None
        self._met = 0

    def __reduce__(self) -> tuple[type["FastPath"], tuple[Tokenizer]]:
        return FastPath, (self._tokenizer,)  # what was learnt stays in its process

    def tokens(self, n_characters: int, wanted: bool | None) -> "FastTokens | None":
        """The fast tokenizer, or None where the `tokenizers` package is to do it.

        Args:
            n_characters: how much there is to do now.
            wanted: True for the compiled loops, False for none, None for what takes less time.

        Raises:
            BenchError: when they are wanted and cannot be had.
        """
        if wanted is False:
            return None
        self._met += n_characters
        if wanted or self._met >= WORTH_IT:
            with self.lock:
                obstacle = self.obstacle()
            if wanted and obstacle:
                raise BenchError(f"fast=True: {obstacle}; leave fast at None, which gives the same embeddings")
        return self._tokens

    def obstacle(self) -> str | None:
        """Make the compiled loops ready; why they cannot be had, or None."""
        if self._tokens is None and self._obstacle is None:
            if importlib.util.find_spec("numba") is None:
                self._obstacle = f"numba is not installed ({_INSTALL})"
                return self._obstacle
            from m2v_bench.inference.cuts import Unproven
            from m2v_bench.inference.fast_tokens import FastTokens

            try:
                self._tokens = FastTokens(self._tokenizer)
            except Unproven as error:
                self._obstacle = f"they are not proven on this tokenizer: {error}"
        return self._obstacle
