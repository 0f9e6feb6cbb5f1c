"""From texts to token ids by the `tokenizers` package, or by compiled loops where they are worth it."""

import importlib.util
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.errors import BenchError, whole_number
from m2v_bench.inference import texts as given
from m2v_bench.inference.token_ids import Flat, reference_ids, unknown_id
from m2v_bench.system.threads import n_threads

if TYPE_CHECKING:
    from m2v_bench.inference.fast.pretoken_cache import FastTokens, Runner, Use

# Loading numba and the compiled loops takes about as long as the tokenizers package does for so many characters.
WORTH_IT = 1_000_000
BATCH_SIZE = 4096  # with fewer, threads that wait for the interpreter's lock take a tenth of the time of short texts
FEWEST, CHARACTERS = 1 << 14, 1 << 18  # of a batch, more or less: what is made of them stays in the processor's cache
FEW = 256  # texts that are not worth a thread
AT_ONCE = 64  # batches between two changes of the table of parts
_INSTALL = "pip install numba"


class Splitter:
    """A model's tokenizer, and its compiled loops once they are made.

    Args:
        tokenizer: of the model.
        as_model2vec: drop unknown tokens, and cut a long text by its characters before it is tokenized.
    """

    def __init__(self, tokenizer: Tokenizer, *, as_model2vec: bool = True) -> None:
        self._tokenizer = tokenizer
        self._as_model2vec = as_model2vec
        self._unknown = unknown_id(tokenizer) if as_model2vec else None
        self._lock = threading.RLock()
        self._tokens: FastTokens | None = None
        self._obstacle: str | None = None
        self._met = 0
        _SPLITTERS.add(self)

    def forget(self) -> None:
        """Begin anew, as in a new process, where nobody holds the lock and the table may be half written."""
        self._lock, self._tokens = threading.RLock(), None

    def __reduce__(self) -> tuple[Callable[..., "Splitter"], tuple[Tokenizer]]:
        # what was learnt stays in its process
        return partial(Splitter, as_model2vec=self._as_model2vec), (self._tokenizer,)

    def each(
        self,
        texts: list[str],
        use: "Use",
        *,
        max_length: int | None,
        fast: bool | None,
        batch_size: int = BATCH_SIZE,
        show_progress: bool = False,
    ) -> None:
        """Hand the ids of each batch of texts to `use`, with the number of its first text.

        Args:
            texts: as `texts.as_list` gives them.
            use: called once per batch, maybe by several threads at a time.
            max_length: ids beyond it are cut, before the unknown ones are dropped; None cuts nothing.
            fast: True for the compiled loops, False for none, None for what takes less time.
            batch_size: texts of a batch.
            show_progress: show a progress bar.

        Raises:
            TypeError: when a text is not a `str`.
            BenchError: for a negative `max_length`, a `batch_size` below 1, or a text with half of a surrogate pair.
            BenchError: when the compiled loops are wanted and cannot be had.
        """
        if max_length is not None:
            max_length = whole_number("max_length", max_length, least=0, instead="None to cut nothing")
        batch_size = whole_number("batch_size", batch_size, least=1)
        try:
            lengths = np.fromiter(map(len, texts), np.int64, count=len(texts))
            tokens = self._choose(int(lengths.sum()), fast)
            if tokens is None:  # the `tokenizers` package has threads of its own, and takes a tuple for two texts
                given.check(texts)
                threads = 1
            else:
                threads = min(n_threads(), 1 + len(texts) // FEW)
            batches = _batches(lengths, batch_size, threads)
            at_once = 1 if threads == 1 else AT_ONCE
            with _progress(len(texts), show_progress) as advance:
                for first in range(0, len(batches), at_once):
                    some = batches[first : first + at_once]
                    self._each(texts, lengths, some, use, max_length=max_length, tokens=tokens, threads=threads)
                    advance(some[-1].stop - some[0].start)
        except (TypeError, UnicodeEncodeError):
            given.check(texts)  # not before, as it takes two percent of the time of short texts
            raise

    def _each(
        self,
        texts: Sequence[str],
        lengths: np.ndarray,
        batches: Sequence[range],
        use: "Use",
        *,
        max_length: int | None,
        tokens: "FastTokens | None",
        threads: int,
    ) -> None:
        def batch(number: int) -> Sequence[str]:
            first, stop = batches[number].start, batches[number].stop
            some = texts[first:stop]
            # a token has a character at least
            if max_length is None or not self._as_model2vec or lengths[first:stop].max() <= max_length:
                return some
            most = max_length * self._median_token_length
            return [text[:most] for text in some]

        def use_batch(number: int, flat: Flat) -> None:
            use(batches[number].start, flat)

        if tokens is not None:
            with self._lock:
                tokens.each(len(batches), batch, max_length, self._unknown, use_batch, run=_runner(threads))
            return
        for number in range(len(batches)):
            use_batch(number, reference_ids(self._tokenizer, list(batch(number)), max_length, self._unknown))

    def _choose(self, n_characters: int, wanted: bool | None) -> "FastTokens | None":
        if wanted is False:
            return None
        self._met += n_characters
        if wanted or self._met >= WORTH_IT:
            obstacle = self.obstacle()
            if wanted and obstacle:
                raise BenchError(f"fast=True: {obstacle}; leave fast at None, which gives the same embeddings")
        return self._tokens

    def obstacle(self) -> str | None:
        """Make the compiled loops ready; why they cannot be had, or None."""
        with self._lock:
            if self._tokens is None and self._obstacle is None:
                self._obstacle = self._load()
            return self._obstacle

    def _load(self) -> str | None:
        if importlib.util.find_spec("numba") is None:
            return f"numba is not installed ({_INSTALL})"
        from m2v_bench.inference.fast.boundaries import Unproven

        try:
            from m2v_bench.inference.fast.pretoken_cache import FastTokens

            self._tokens = FastTokens(self._tokenizer)
        except Unproven as error:
            return f"compiled loops are not proven on this tokenizer: {error}"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # numba has kinds of its own, and a panic of tokenizers is no Exception
            return f"compiled loops cannot be used here: {type(error).__name__}: {error}"
        return None

    @cached_property
    def _median_token_length(self) -> int:
        """By which texts are cut before their tokens are, as model2vec does to spare the rest."""
        return int(np.median([len(token) for token in self._tokenizer.get_vocab()]))


_SPLITTERS: "weakref.WeakSet[Splitter]" = weakref.WeakSet()
if hasattr(os, "register_at_fork"):

    def _begin_anew() -> None:
        _pool.cache_clear()  # its threads are not there
        for splitter in list(_SPLITTERS):
            splitter.forget()

    os.register_at_fork(after_in_child=_begin_anew)


def _runner(threads: int) -> "Runner":
    """A `map` over several threads, this one among them, that returns when all are done."""
    if threads == 1:
        return map
    pool = _pool()

    def run(work: Callable[[int], Any], numbers: Iterable[int]) -> list[Any]:
        left, found = deque(numbers), {}

        def take() -> None:
            try:
                while True:
                    try:
                        number = left.popleft()
                    except IndexError:
                        return
                    found[number] = work(number)
            finally:
                left.clear()  # after an error nobody begins another one

        helpers = []
        with suppress(RuntimeError):  # while the interpreter ends, the caller does it alone
            helpers += [pool.submit(take) for _ in range(threads - 1)]
        try:
            take()
        finally:
            running = [helper for helper in helpers if not helper.cancel()]
            _wait_for(running)
        for helper in running:
            helper.result()  # raises what it met
        return [found[number] for number in sorted(found)]

    return run


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads that stay: to start them takes as long as to embed hundreds of texts."""
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="m2v-bench")


def _wait_for(running: Sequence[Future[None]]) -> None:
    """Wait even when interrupted, and again: the threads read what the next call may change."""
    try:
        wait(running)
    except BaseException:
        _wait_for(running)
        raise


def _batches(lengths: np.ndarray, batch_size: int, threads: int) -> list[range]:
    """Numbers of texts that are done at a time, by the characters of each text."""
    n, ends = len(lengths), np.cumsum(lengths)
    batches, start, before = [], 0, 0
    while start < n:
        size, most = batch_size, CHARACTERS
        if threads > 1:  # a share of what is left, so that no thread waits long for the last one
            size = min(size, max(FEW, (n - start) // (2 * threads)))
            most = min(most, max(FEWEST, (int(ends[-1]) - before) // (2 * threads)))
        stop = max(start + 1, int(np.searchsorted(ends, before + most, side="right")))
        batches.append(range(start, min(stop, start + size)))
        start = batches[-1].stop
        before = int(ends[start - 1])
    return batches


@contextmanager
def _progress(n_texts: int, show: bool) -> Iterator[Callable[[int], object]]:
    if not show:
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_texts, desc="encoding", unit="text", unit_scale=True) as bar:
        yield bar.update
