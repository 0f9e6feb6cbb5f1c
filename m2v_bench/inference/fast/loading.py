"""Load a model's compiled loops once they are worth it, or say why they cannot be used.

Importing this module imports no compiled code.
"""

import importlib.util
import logging
import os
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from m2v_bench.errors import BenchError
from m2v_bench.inference.embeddings import Embeddings
from m2v_bench.inference.fast.workers import forget_threads
from m2v_bench.inference.tokenizer import BatchTokenizer

if TYPE_CHECKING:
    from m2v_bench.inference.fast.fast_embeddings import FastEmbeddings
    from m2v_bench.inference.fast.fast_tokenizer import FastTokenizer

log = logging.getLogger(__name__)

# Loading numba and the compiled loops takes about as long as the tokenizers package does for so many characters.
WORTH_IT = 1_000_000


@dataclass(frozen=True)
class FastPath:
    """Whether a model uses compiled loops: true in a condition if it does, and `yes` or `no: REASON` when printed.

    Attributes:
        obstacle: why it cannot use them; None if it can.
    """

    obstacle: str | None = None

    def __bool__(self) -> bool:
        return self.obstacle is None

    def __str__(self) -> str:
        return "yes" if self.obstacle is None else f"no: {self.obstacle}"

    def __repr__(self) -> str:
        return f"FastPath({self})"


class FastLoader:
    """Compiled counterparts of a model's tokenizer and embeddings, loaded on demand."""

    def __init__(self, tokenizer: BatchTokenizer, embeddings: Embeddings) -> None:
        self._plain = tokenizer, embeddings
        self._compiled: tuple[FastTokenizer, FastEmbeddings] | None = None
        self._obstacle: str | None = None
        self._characters = 0
        self._lock = threading.RLock()
        _LOADERS.add(self)

    def compiled(self, texts: Iterable[str], wanted: bool | None) -> "tuple[FastTokenizer, FastEmbeddings] | None":
        """Return the compiled tokenizer and embeddings, or None where the plain ones are to be used.

        Args:
            texts: the texts to embed.
            wanted: True demands compiled loops, None takes them once the model has been asked for enough texts.

        Raises:
            BenchError: when they are demanded and cannot be used.
        """
        if self._compiled is None and not wanted:
            self._characters += sum(len(text) for text in texts if isinstance(text, str))
        if wanted or self._characters >= WORTH_IT:
            path = self.load()
            if wanted and not path:
                raise BenchError(f"fast=True: {path.obstacle}; leave fast at None, which gives the same embeddings")
        return self._compiled

    def load(self) -> FastPath:
        """Load the compiled loops unless they are loaded."""
        with self._lock:
            if self._compiled is None and self._obstacle is None:
                self._obstacle = self._load()
            return FastPath(self._obstacle)

    def _load(self) -> str | None:
        if importlib.util.find_spec("numba") is None:
            return "numba is not installed (pip install numba)"
        from m2v_bench.inference.fast.boundaries import Unproven

        tokenizer, embeddings = self._plain
        try:
            with _announced():
                from m2v_bench.inference.fast.fast_embeddings import FastEmbeddings
                from m2v_bench.inference.fast.fast_tokenizer import FastTokenizer

                self._compiled = (
                    FastTokenizer(tokenizer.tokenizer, tokenizer.rules),
                    FastEmbeddings(embeddings.table, embeddings.mapping, embeddings.weights),
                )
        except Unproven as error:
            return f"compiled loops are not proven on this tokenizer: {error}"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # numba raises kinds of its own, and a panic of tokenizers is no Exception
            return f"compiled loops cannot be used here: {type(error).__name__}: {error}"
        return None

    def unload(self) -> None:
        """Start over in a forked process, where nobody holds the locks and the cache may be half written."""
        self._lock, self._compiled = threading.RLock(), None


@contextmanager
def _announced() -> Iterator[None]:
    """Tell the user when numba compiles, rather than loads what it compiled before."""
    from numba.core import event

    class Listener(event.Listener):
        def on_start(self, event: object) -> None:
            if not _ANNOUNCED:
                _ANNOUNCED.append(True)
                log.warning("compiling the loops that embed texts, once per installation: about 15 s")

        def on_end(self, event: object) -> None:
            pass

    with event.install_listener("numba:compile", Listener()):
        yield


_ANNOUNCED: list[bool] = []


def compile_ahead() -> FastPath:
    """Compile all loops, unless numba's cache has them, and return whether models can use them here."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    path = FastPath()
    for dtype in (np.float32, np.float16, np.int8):
        loader = FastLoader(BatchTokenizer(tokenizer, "model2vec"), Embeddings(np.ones((2, 2), dtype), None, None))
        path = loader.load()
        if not path or loader._compiled is None:
            return path
        with _announced():
            compiled, embeddings = loader._compiled
            for batch in compiled.batches(["a"], max_length=None):
                embeddings.mean(batch, out=np.empty((1, 2), np.float32), normalize=False)
    with _announced():
        from m2v_bench.inference.fast.pieces import link_nothing
        from m2v_bench.inference.fast.pretoken_cache import Table

        link_nothing()
        table = Table()
        table.add([b"a"], [[0]])
        Table().merge(table)
    return path


_LOADERS: "weakref.WeakSet[FastLoader]" = weakref.WeakSet()
if hasattr(os, "register_at_fork"):

    def _after_fork() -> None:
        forget_threads()
        if characters := sys.modules.get("m2v_bench.inference.fast.characters"):
            characters.forget_characters()
        for loader in list(_LOADERS):
            loader.unload()

    os.register_at_fork(after_in_child=_after_fork)
