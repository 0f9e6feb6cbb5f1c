"""Static embedding models: a table of token rows; a text is the mean of its tokens' rows."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.errors import BenchError
from m2v_bench.inference import files
from m2v_bench.inference.fast import FastPath
from m2v_bench.inference.pooling import Rows, normalize
from m2v_bench.inference.tokens import Flat, reference_ids, unknown_id
from m2v_bench.threads import n_threads

if TYPE_CHECKING:
    from m2v_bench.inference.fast_tokens import FastTokens, Runner, Use

DEFAULT_MAX_LENGTH = 512
BATCH_SIZE = 1024
BATCHES_PER_THREAD = 8  # between two changes of the table of parts
MaxLength = int | None | Literal["model"]


class StaticModel:
    """A static embedding model in the file format of model2vec.

    Attributes:
        table: rows of the tokens, shape (rows, dims), as stored (float32, float16 or int8).
        tokenizer: splits texts into tokens; its ids are row numbers (or indices into `mapping`).
        weights: one factor per token, or None when the rows carry it.
        mapping: each token's row, or None when token i has row i.
        normalize: whether `encode` divides by the L2 norm.
        max_length: tokens of a text beyond it are cut by `encode`; None cuts nothing.
        config: what the model was made with, as kept in `config.json`.
    """

    def __init__(
        self,
        table: np.ndarray,
        tokenizer: Tokenizer,
        *,
        normalize: bool = True,
        max_length: int | None = DEFAULT_MAX_LENGTH,
        config: dict[str, Any] | None = None,
        weights: np.ndarray | None = None,
        mapping: np.ndarray | None = None,
        _own_tokenizer: bool = False,
    ) -> None:
        self.table = np.ascontiguousarray(table)
        self.weights = weights
        self.mapping = mapping
        self.normalize = normalize
        self.max_length = max_length
        self.config = dict(config or {})
        self.tokenizer = tokenizer if _own_tokenizer else Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self._unknown = unknown_id(self.tokenizer)
        self._fast = FastPath(self.tokenizer)

        n_tokens = self.tokenizer.get_vocab_size()
        n_rows = len(self.table) if mapping is None else len(mapping)
        if n_tokens != n_rows:
            raise BenchError(f"the tokenizer has {n_tokens} tokens but there are rows for {n_rows}")

    def __repr__(self) -> str:
        rows, dims = self.table.shape
        return f"StaticModel({rows:,} rows x {dims}, {self.table.dtype}, normalize={self.normalize})"

    @property
    def dims(self) -> int:
        """Dimensions of an embedding."""
        return int(self.table.shape[1])

    @property
    def n_parameters(self) -> int:
        """Numbers in the table, token weights included."""
        return int(self.table.size + (0 if self.weights is None else self.weights.size))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens by rising id."""
        vocabulary = self.tokenizer.get_vocab()
        return tuple(sorted(vocabulary, key=vocabulary.__getitem__))

    @cached_property
    def _rows(self) -> Rows:
        return Rows(self.table, self.mapping, self.weights)

    @cached_property
    def _median_token_length(self) -> int:
        return int(np.median([len(token) for token in self.tokenizer.get_vocab()]))

    def fast_path(self) -> str | None:
        """Load the compiled loops now, rather than when there is enough to do.

        Returns:
            Why this model cannot use them (it then takes the `tokenizers` package, and gives the same embeddings), or
            None when it can.
        """
        obstacle = self._fast.obstacle()
        if obstacle is None:
            self.encode([""], fast=True)  # the other loop
        return obstacle

    def tokenize(
        self, texts: Sequence[str], *, max_length: MaxLength = "model", fast: bool | None = None
    ) -> list[list[int]]:
        """Token ids per text; unknown tokens are dropped, after the cut to `max_length` tokens.

        Characters beyond `max_length` times the median token length are cut first, as model2vec does. For `fast` see
        `encode`.
        """
        found: list[list[int]] = [[]] * len(texts)

        def use(start: int, flat: Flat) -> None:
            found[start : start + len(flat)] = flat.lists()

        self._each(texts, use, max_length=max_length, tokens=self._fast_tokens(texts, fast))
        return found

    def encode(
        self,
        texts: str | Sequence[str],
        *,
        max_length: MaxLength = "model",
        batch_size: int = BATCH_SIZE,
        show_progress: bool = False,
        fast: bool | None = None,
    ) -> np.ndarray:
        """Embed texts.

        Long inputs are spread over threads, as many as the `tokenizers` package would use (`threads.n_threads`).

        Args:
            texts: one text or several.
            max_length: tokens beyond it are cut; None cuts nothing, `model` is what the model says.
            batch_size: texts done at a time by one thread; does not change the result.
            show_progress: show a progress bar.
            fast: whether to take compiled loops (extra `fast`), which give the same bits: True demands them, False
                forbids them, None takes them where they are there and enough was asked of the model to be worth
                loading them.

        Returns:
            float32 array of shape (texts, dims), or (dims,) for a single string. A text without a known
            token is the zero vector.

        Raises:
            TypeError: when something in `texts` is not a string.
            BenchError: for `fast=True` where that cannot be.
        """
        if isinstance(texts, str):
            return self.encode([texts], max_length=max_length, fast=fast)[0]
        tokens = self._fast_tokens(texts, fast)
        mean = self._rows.mean if tokens is None else self._rows.fast_mean

        def embed(part: tuple[Flat, np.ndarray]) -> None:
            flat, out = part
            mean(flat, out)
            if self.normalize:
                normalize(out)

        embeddings = np.empty((len(texts), self.dims), np.float32)

        def use(start: int, flat: Flat) -> None:
            out = embeddings[start : start + len(flat)]
            mean(flat, out)
            if self.normalize:
                normalize(out)

        self._each(texts, use, max_length=max_length, tokens=tokens, batch_size=batch_size, show_progress=show_progress)
        return embeddings

    def encode_as_sequence(
        self,
        texts: str | Sequence[str],
        *,
        max_length: MaxLength = None,
        batch_size: int = BATCH_SIZE,
        show_progress: bool = False,
        fast: bool | None = None,
    ) -> np.ndarray | list[np.ndarray]:
        """The rows of each text's tokens, in their order, weighted but not averaged.

        Args:
            texts: one text or several.
            max_length: tokens beyond it are cut; nothing by default, `model` is what the model says.
            batch_size: texts tokenized at a time; does not change the result.
            show_progress: show a progress bar.
            fast: see `encode`.

        Returns:
            Per text a float32 array of shape (known tokens, dims); one such array for a single string.
        """
        if isinstance(texts, str):
            return self.encode_as_sequence([texts], max_length=max_length, fast=fast)[0]
        sequences: list[np.ndarray] = [np.empty(0)] * len(texts)

        def use(start: int, flat: Flat) -> None:
            sequences[start : start + len(flat)] = [self._rows.of(flat.of(text)) for text in range(len(flat))]

        tokens = self._fast_tokens(texts, fast)
        self._each(texts, use, max_length=max_length, tokens=tokens, batch_size=batch_size, show_progress=show_progress)
        return sequences

    def _fast_tokens(self, texts: Sequence[str], wanted: bool | None) -> "FastTokens | None":
        if set(map(type, texts)) - {str}:
            for number, text in enumerate(texts):
                if not isinstance(text, str):
                    raise TypeError(f"texts[{number}] is {text!r}, a {type(text).__name__}; every text must be a str")
        return self._fast.tokens(sum(map(len, texts)), wanted)

    def _cut(self, texts: Sequence[str], max_length: MaxLength) -> list[str]:
        """Cut the characters that no token can come of, going by the median length of a token."""
        longest = self._longest(max_length)
        if longest is None or max(map(len, texts), default=0) <= longest:  # a token has a character at least
            return list(texts)
        return [text[: longest * self._median_token_length] for text in texts]

    def _each(
        self,
        texts: Sequence[str],
        use: "Use",
        *,
        max_length: MaxLength,
        tokens: "FastTokens | None",
        batch_size: int = BATCH_SIZE,
        show_progress: bool = False,
    ) -> None:
        """Hand the ids of each batch of texts to `use`, with the number of its first text."""
        longest, starts = self._longest(max_length), range(0, len(texts), batch_size)
        # the `tokenizers` package has threads of its own
        threads = 1 if tokens is None or len(starts) < 2 else n_threads()
        with _pool(threads) as run:
            for some in _groups(starts, 1 if threads == 1 else BATCHES_PER_THREAD * threads, show_progress):
                batches = [self._cut(texts[start : start + batch_size], max_length) for start in some]
                if tokens is None:
                    for start, batch in zip(some, batches, strict=True):
                        use(start, reference_ids(self.tokenizer, batch, longest, self._unknown))
                    continue

                def use_batch(number: int, flat: Flat, starts: range = some) -> None:
                    use(starts[number], flat)

                with self._fast.lock:
                    tokens.each(batches, longest, self._unknown, use_batch, run)

    def _longest(self, max_length: MaxLength) -> int | None:
        return self.max_length if max_length == "model" else max_length

    def save_pretrained(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write the model and its card to `folder`, in the file format of model2vec and sentence-transformers.

        Args:
            folder: where to write; made when it is not there.
            name: what the card calls the model; the folder's name when None.
        """
        from m2v_bench.inference.card import model_card

        folder = Path(folder)
        kept = dict(self.config)
        if kept.get("hidden_dim") not in (None, self.dims):
            kept.pop("revision", None)  # it stands for the model before its dimensions were cut
            kept["cut_from"] = kept["hidden_dim"]
        config = {
            **kept,
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": self.dims,
            "seq_length": 1_000_000,  # what model2vec writes: a mean has no longest input
            "max_length": self.max_length,
            "embedding_dtype": self.table.dtype.name,
            "vocabulary_quantization": None if self.mapping is None else len(self.table),
            "normalize": self.normalize,
        }
        card = model_card(name or folder.resolve().name, config, shape=(len(self.table), self.dims))
        files.write(folder, files.Files(self.table, self.tokenizer, config, self.weights, self.mapping), card)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model and its card to the model hub.

        Args:
            repo_id: `organisation/name`; made when it is not there.
            private: whether a repository that is made is private.
            token: access token; the one that the hub's own login keeps when None.

        Returns:
            The address of the commit.

        Raises:
            BenchError: when the hub refuses or cannot be reached.
        """
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, name=repo_id)
            return files.push(Path(folder), repo_id, private=private, token=token)

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        dimensionality: int | None = None,
        normalize: bool | None = None,
        token: str | None = None,
    ) -> "StaticModel":
        """Load a model that this class, model2vec or a StaticEmbedding of sentence-transformers wrote.

        Args:
            path: a folder, or a name on the model hub.
            dimensionality: keep so many of the first dimensions; with PCA they are the principal ones.
            normalize: whether `encode` divides by the norm; as the files say when None.
            token: access token of a private model on the hub.

        Raises:
            BenchError: when there is no such model, a file of it is missing, or it has fewer dimensions.
        """
        found = files.read(path, token=token)
        dims = found.table.shape[1]
        if dimensionality is not None and not 1 <= dimensionality <= dims:
            raise BenchError(f"dimensionality={dimensionality}: {path} has {dims} dimensions; allowed: 1 to {dims}")
        return cls(
            found.table[:, :dimensionality],
            found.tokenizer,
            normalize=bool(found.config.get("normalize", False)) if normalize is None else normalize,
            max_length=found.config.get("max_length", DEFAULT_MAX_LENGTH),
            config=found.config,
            weights=found.weights,
            mapping=found.mapping,
            _own_tokenizer=True,
        )


@contextlib.contextmanager
def _pool(threads: int) -> Iterator["Runner"]:
    """A `map` that spreads its work over threads."""
    if threads == 1:
        yield map
        return
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        yield pool.map


def _groups(starts: range, size: int, show_progress: bool) -> Iterator[range]:
    """`size` batches at a time."""
    groups = [starts[first : first + size] for first in range(0, len(starts), size)]
    if not show_progress:
        return iter(groups)
    from tqdm.auto import tqdm

    return iter(tqdm(groups, desc="encoding", unit="batch", unit_scale=size))
