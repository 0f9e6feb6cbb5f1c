"""Embed texts with a static model: the embedding of a text is the mean of its tokens' rows in a table."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.errors import BenchError, whole_number
from m2v_bench.inference import files
from m2v_bench.inference.embeddings import Embeddings
from m2v_bench.inference.fast.loading import FastLoader, FastPath
from m2v_bench.inference.output_precision import Precision, check_precision, quantize, storage
from m2v_bench.inference.similarity import similarity
from m2v_bench.inference.texts import as_list
from m2v_bench.inference.tokenizer import BATCH_SIZE, Batch, BatchTokenizer, Rules

DEFAULT_MAX_LENGTH = 512
MaxLength = int | None | Literal["model"]


class StaticModel:
    """A static embedding model in the file format of model2vec.

    Load one with `from_pretrained`, or make one with `distill`. Treat instances as immutable after the first `encode`.

    Attributes:
        table: shape (rows, dims), float32, float16 or int8.
        tokenizer: splits texts into tokens; token i has row i of the table, or row `mapping[i]`.
        weights: one factor per token, shape (tokens,); None if the rows contain it.
        mapping: the row of each token, shape (tokens,), integers; None if token i has row i.
        normalize: whether `encode` divides embeddings by their L2 norm.
        max_length: longest text in tokens, the rest is cut by `encode`; None cuts nothing.
        rules: the library whose embeddings these are, `model2vec` or `sentence-transformers`. model2vec leaves unknown
            tokens out of the mean and cuts long texts by characters before it tokenizes them; sentence-transformers
            does neither.
        config: content of `config.json`, such as the settings of the distillation.

    Raises:
        BenchError: when the shapes, types or numbers of tokens do not fit together, or a weight is not finite.
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
        rules: Rules = "model2vec",
        _own_tokenizer: bool = False,
    ) -> None:
        if table.ndim != 2:
            raise BenchError(f"the table is of shape {table.shape}; it needs rows and dimensions")
        self.table = np.ascontiguousarray(table)
        self.weights = weights
        self.mapping = mapping
        self.normalize = normalize
        self.max_length = max_length
        self.rules = rules
        self.config = dict(config or {})
        self.tokenizer = tokenizer if _own_tokenizer else Tokenizer.from_str(tokenizer.to_str())
        self.tokenizer.no_padding()
        self.tokenizer.no_truncation()
        self._check_parts()
        self._connect()

    def _check_parts(self) -> None:
        mapping, weights = self.mapping, self.weights
        n_tokens = self.tokenizer.get_vocab_size()
        n_rows = self._n_ids
        if n_tokens != n_rows:
            raise BenchError(f"the tokenizer has {n_tokens} tokens but there are rows for {n_rows}")
        if n_rows and self.tokenizer.id_to_token(n_rows - 1) is None:
            raise BenchError(self._gap_message())
        if mapping is not None and mapping.dtype.kind not in "iu":
            raise BenchError(f"mapping is of type {mapping.dtype}; row numbers are integers")
        if mapping is not None and n_rows and not 0 <= mapping.min() <= mapping.max() < len(self.table):
            raise BenchError(
                f"mapping points to rows {mapping.min()} to {mapping.max()}; there are 0 to {len(self.table) - 1}"
            )
        if weights is not None and weights.shape != (n_rows,):
            raise BenchError(f"weights are of shape {weights.shape}; {n_rows} tokens need ({n_rows},)")
        if weights is not None and not np.isfinite(weights).all():
            worst = int(np.flatnonzero(~np.isfinite(weights))[0])
            raise BenchError(
                f"the weight of token {self.tokenizer.id_to_token(worst)!r} is {weights[worst]}, not finite"
            )

    def _connect(self) -> None:
        self._plain = BatchTokenizer(self.tokenizer, self.rules), Embeddings(self.table, self.mapping, self.weights)
        self._fast = FastLoader(*self._plain)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("_plain", "_fast")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()

    def __repr__(self) -> str:
        rows, dims = self.table.shape
        return f"StaticModel({rows:,} rows x {dims}, {self.table.dtype}, normalize={self.normalize})"

    @property
    def dims(self) -> int:
        """Dimensions of an embedding."""
        return int(self.table.shape[1])

    @property
    def dim(self) -> int:
        """Dimensions of an embedding, by the name that model2vec uses."""
        return self.dims

    @property
    def similarity_fn_name(self) -> str:
        """Name of the function of `similarity`, `cosine` unless the model's files name another."""
        return self.config.get("similarity_fn_name") or "cosine"

    @property
    def n_parameters(self) -> int:
        """Number of values in the table and the token weights."""
        return int(self.table.size + (0 if self.weights is None else self.weights.size))

    @property
    def tokens(self) -> tuple[str, ...]:
        """The tokens in the order of their ids."""
        vocabulary = self.tokenizer.get_vocab()
        tokens = tuple(sorted(vocabulary, key=vocabulary.__getitem__))
        if tokens and vocabulary[tokens[-1]] != len(tokens) - 1:
            raise BenchError(self._gap_message())
        return tokens

    @property
    def _n_ids(self) -> int:
        return len(self.table) if self.mapping is None else len(self.mapping)

    def _gap_message(self) -> str:
        token, last = max(self.tokenizer.get_vocab().items(), key=lambda item: item[1])
        return (
            f"the tokenizer's ids have holes: token {token!r} has id {last}, but there are rows for ids 0 to "
            f"{self._n_ids - 1}; number the tokens of tokenizer.json without gaps"
        )

    @contextmanager
    def _ids_have_rows(self) -> Iterator[None]:
        """Translate a failed look-up of a row into a message about the tokenizer."""
        try:
            yield
        except IndexError as error:
            raise BenchError(self._gap_message()) from error

    def _path(self, texts: list[str], fast: bool | None) -> tuple[BatchTokenizer, Embeddings]:
        """Return the tokenizer and the embeddings to use: the plain ones, or compiled ones with the same results."""
        compiled = None if fast is False else self._fast.compiled(texts, fast)
        return compiled or self._plain

    def fast_path(self) -> FastPath:
        """Load the compiled loops now, rather than once enough texts have been embedded.

        Returns:
            A `FastPath`, which is true if the model uses compiled loops, and prints as `yes` or `no` with the reason.
            Without them the model uses the `tokenizers` package and numpy, which give the same embeddings.
        """
        path = self._fast.load()
        if path:
            self.encode([""], fast=True)  # compiles the averaging
        return path

    @overload  # a str is an iterable of str, too, but one text
    def tokenize(  # type: ignore[overload-overlap]
        self, texts: str, *, max_length: MaxLength = ..., fast: bool | None = ...
    ) -> list[int]: ...

    @overload
    def tokenize(
        self, texts: Iterable[str], *, max_length: MaxLength = ..., fast: bool | None = ...
    ) -> list[list[int]]: ...

    def tokenize(
        self, texts: str | Iterable[str], *, max_length: MaxLength = "model", fast: bool | None = None
    ) -> list[int] | list[list[int]]:
        """Split texts into the tokens that `encode` averages.

        By the rules of model2vec, a text is cut to `max_length` times the median token length in characters, then to
        `max_length` tokens; then unknown tokens are dropped.

        Args:
            texts: as in `encode`.
            max_length: as in `encode`.
            fast: as in `encode`.

        Returns:
            One list of token ids per text; for a single string, its ids.

        Raises:
            TypeError, BenchError: as `encode` does.
        """
        if isinstance(texts, str):
            return self.tokenize([texts], max_length=max_length, fast=fast)[0]
        texts = as_list(texts)
        tokenizer, _ = self._path(texts, fast)
        batches = tokenizer.batches(texts, max_length=self._longest(max_length))
        return [ids for batch in batches for ids in batch.lists()]

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        show_progress_bar: bool = False,
        normalize_embeddings: bool | None = None,
        max_length: MaxLength = "model",
        batch_size: int = BATCH_SIZE,
        fast: bool | None = None,
        show_progress: bool = False,
        precision: Precision = "float32",
    ) -> np.ndarray:
        """Embed texts.

        Long inputs are spread over threads, as many as the `tokenizers` package would use: `RAYON_NUM_THREADS`, or one
        per processor; `TOKENIZERS_PARALLELISM=false` means one.

        Args:
            texts: one text, or several as a list, a generator, an array, or a column of pandas, polars, Arrow or
                `datasets`; read in order, whatever its index.
            show_progress_bar: whether to show a progress bar.
            normalize_embeddings: whether to divide embeddings by their L2 norm; as the model says when None.
            max_length: longest text in tokens, the rest is cut; None cuts nothing, `model` is what the model says.
            batch_size: texts that a thread embeds at a time, at most; does not change the result.
            fast: whether to use loops compiled by numba, which give the same bits. True demands them, False
                forbids them, None uses them once the model has embedded enough texts to make loading them worthwhile.
            show_progress: another name of `show_progress_bar`.
            precision: `float32`; `int8` for a quarter of the bytes, each embedding scaled to the range of a byte, which
                keeps cosines; `binary` (int8) or `ubinary` (uint8) for the signs, eight in a byte, to compare by
                Hamming distance.

        Returns:
            Array of shape (texts, dims) and type `precision`, with ceil(dims / 8) bytes for bits; without the first
            axis for a single string. A text without a known token is the zero vector.

        Raises:
            TypeError: for a text that is not a string, with its position, and for texts without an order (a set) or in
                a table.
            BenchError: for `fast=True` without compiled loops, a negative `max_length`, a `batch_size` below 1, an
                unknown `precision`, and a text with half of a surrogate pair, which UTF-8 cannot encode.
        """
        check_precision(precision)
        if isinstance(texts, str):
            single = self.encode(
                [texts],
                normalize_embeddings=normalize_embeddings,
                max_length=max_length,
                fast=fast,
                precision=precision,
            )
            return single[0]
        texts = as_list(texts)
        normalize = self.normalize if normalize_embeddings is None else normalize_embeddings
        tokenizer, embeddings = self._path(texts, fast)
        out = storage(len(texts), self.dims, precision)
        batches = tokenizer.batches(texts, max_length=self._longest(max_length), batch_size=_checked(batch_size))
        with self._ids_have_rows():
            for batch in _with_progress(batches, len(texts), show_progress_bar or show_progress):
                if precision == "float32":
                    embeddings.mean(batch, out=out[batch.rows], normalize=normalize)
                    continue
                means = storage(len(batch), self.dims, "float32")
                embeddings.mean(batch, out=means, normalize=normalize)
                quantize(means, precision, out[batch.rows])
        return out

    def encode_as_sequence(
        self,
        texts: str | Iterable[str],
        *,
        max_length: MaxLength = None,
        batch_size: int = BATCH_SIZE,
        show_progress_bar: bool = False,
        fast: bool | None = None,
        show_progress: bool = False,
    ) -> np.ndarray | list[np.ndarray]:
        """Return the rows of each text's tokens, in their order, weighted but not averaged.

        Args:
            texts: as in `encode`.
            max_length: longest text in tokens; by default nothing is cut, `model` is what the model says.
            batch_size: texts tokenized at a time, at most; does not change the result.
            show_progress_bar: whether to show a progress bar.
            fast: as in `encode`.
            show_progress: another name of `show_progress_bar`.

        Returns:
            Per text a float32 array of shape (known tokens, dims); one such array for a single string.

        Raises:
            TypeError, BenchError: as `encode` does.
        """
        if isinstance(texts, str):
            return self.encode_as_sequence([texts], max_length=max_length, fast=fast)[0]
        texts = as_list(texts)
        tokenizer, embeddings = self._path(texts, fast)
        sequences: list[np.ndarray] = []
        batches = tokenizer.batches(texts, max_length=self._longest(max_length), batch_size=_checked(batch_size))
        with self._ids_have_rows():
            for batch in _with_progress(batches, len(texts), show_progress_bar or show_progress):
                sequences += [embeddings.rows(batch.ids_of(text)) for text in range(len(batch))]
        return sequences

    def similarity(self, embeddings1: Any, embeddings2: Any) -> np.ndarray:
        """Compare every embedding of one array with every one of another; larger is more similar.

        The function is `similarity_fn_name`: the cosine, or what the model's files name (`dot`, and as negative
        distances `euclidean` and `manhattan`).

        Args:
            embeddings1: array of shape (n, dims), or (dims,) for a single embedding.
            embeddings2: array of shape (m, dims), or (dims,).

        Returns:
            Array of shape (n, m), float32 for embeddings of `encode`.

        Raises:
            BenchError: for arrays of other shapes, and a function of another name.
        """
        return similarity(embeddings1, embeddings2, self.similarity_fn_name)

    def _longest(self, max_length: MaxLength) -> int | None:
        if isinstance(max_length, str) and max_length != "model":
            raise BenchError(f"max_length={max_length!r}: must be a whole number, None to cut nothing, or 'model'")
        longest = self.max_length if isinstance(max_length, str) else max_length
        if longest is None:
            return None
        return whole_number("max_length", longest, least=0, instead="None to cut nothing")

    def to_onnx(self, path: str | Path) -> None:
        """Write the model as an ONNX graph from token ids to embeddings.

        Its inputs are `input_ids` and `attention_mask`, int64 of shape (texts, tokens): the ids that `tokenize`
        returns, and 1 for every id, 0 for padding. Its output is `embeddings`, float32 of shape (texts, dims), as
        `encode` returns.

        Args:
            path: the file.

        Raises:
            BenchError: when onnx is not installed, or the file cannot be written.
        """
        from m2v_bench.inference.onnx_export import write_onnx

        write_onnx(self._plain[1], Path(path), normalize=self.normalize)

    def save_pretrained(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write the model and its card to a folder, in files that model2vec and sentence-transformers read.

        Args:
            folder: the folder, created if missing.
            name: name of the model in the card; the folder's name when None.

        Raises:
            BenchError: for a table with a value that is not finite.
        """
        from m2v_bench.inference.card import model_card

        if (row := files.row_beyond(self.table)) is not None:
            whose = f" ({self.tokenizer.id_to_token(row)!r})" if self.mapping is None else ""
            raise BenchError(f"{folder}: not saved, as row {row}{whose} of the table has values that are not finite")
        folder = Path(folder)
        kept = dict(self.config)
        if kept.get("hidden_dim") not in (None, self.dims):
            kept.pop("revision", None)  # it identifies the model before its dimensions were cut
            kept["cut_from"] = kept["hidden_dim"]
        config = {
            **kept,
            "model_type": "model2vec",
            "architectures": ["StaticModel"],
            "hidden_dim": self.dims,
            "seq_length": 1_000_000,  # as model2vec writes: a mean has no longest input
            "max_length": self.max_length,
            "embedding_dtype": self.table.dtype.name,
            "vocabulary_quantization": None if self.mapping is None else len(self.table),
            "normalize": self.normalize,
        }
        config.pop("rules", None)
        if self.rules != "model2vec":
            config["rules"] = self.rules
        card = model_card(name or folder.resolve().name, config, shape=(len(self.table), self.dims))
        files.write(folder, files.Files(self.table, self.tokenizer, config, self.weights, self.mapping), card)

    def push_to_hub(self, repo_id: str, *, private: bool = False, token: str | None = None) -> str:
        """Upload the model and its card to the model hub.

        Args:
            repo_id: `organisation/name`, created if missing.
            private: whether a created repository is private.
            token: access token; when None, that of the hub's login.

        Returns:
            URL of the commit.

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
        """Load a static model written by this class, by model2vec, or by sentence-transformers (StaticEmbedding).

        A sentence transformer has to be distilled instead, by `distill`.

        Args:
            path: the folder of a model, or its name on the model hub.
            dimensionality: number of leading dimensions to keep; after PCA they are the principal ones.
            normalize: whether `encode` divides by the L2 norm; as the files say when None.
            token: access token of a private model on the hub.

        Raises:
            BenchError: when there is no such model, it is a transformer, a file is missing or damaged, or it has fewer
                dimensions.
        """
        if dimensionality is not None:
            dimensionality = whole_number("dimensionality", dimensionality, least=1)
        content = files.read(path, token=token, dimensionality=dimensionality)
        dims = content.table.shape[1]
        if dimensionality is not None and dimensionality > dims:
            raise BenchError(f"dimensionality={dimensionality}: {path} has {dims} dimensions; allowed: 1 to {dims}")
        return cls(
            content.table[:, :dimensionality],
            content.tokenizer,
            normalize=bool(content.config.get("normalize", False)) if normalize is None else normalize,
            max_length=content.config.get("max_length", DEFAULT_MAX_LENGTH),
            config=content.config,
            weights=content.weights,
            mapping=content.mapping,
            rules=content.config.get("rules", "model2vec"),
            _own_tokenizer=True,
        )


def _checked(batch_size: int) -> int:
    return whole_number("batch_size", batch_size, least=1)


def _with_progress(batches: Iterator[Batch], n_texts: int, show: bool) -> Iterator[Batch]:
    """Yield the batches, with a progress bar over the texts if wanted."""
    if not show:
        yield from batches
        return
    from tqdm.auto import tqdm

    with tqdm(total=n_texts, desc="encoding", unit="text", unit_scale=True) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))
