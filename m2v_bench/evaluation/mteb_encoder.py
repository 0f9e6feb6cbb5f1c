"""Adapt a `Model` to mteb's encoder interface."""

import functools
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction

from m2v_bench.errors import BenchError
from m2v_bench.evaluation.columns import texts_of
from m2v_bench.evaluation.memo import TextMemo
from m2v_bench.models.model import Encoder, Model

if TYPE_CHECKING:
    import torch
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import PromptType

_QUERIES = 512  # whose similarities with a chunk of documents are in memory at once


def model_meta(model: Model, *, seed: int) -> ModelMeta:
    """Return the metadata that names a model's result files: name, revision, and variant as `experiment_kwargs`."""
    variant = dict(model.variant)
    if seed != 42:
        variant["seed"] = seed  # other draws give other scores, which need a separate file
    return ModelMeta(
        loader=None,
        name=model.name,
        revision=model.revision,
        release_date=None,
        languages=None,
        n_parameters=model.n_parameters,
        memory_usage_mb=None,
        max_tokens=None,
        embed_dim=model.dims or None,
        license=None,
        open_weights=True,
        public_training_code=None,
        public_training_data=None,
        # `results.score_files.kind_of` reads the kind from these two
        framework=["Sentence Transformers"] if model.kind == "transformer" else ["NumPy"],
        model_type=["sparse"] if model.kind == "lexical" else ["dense"],
        similarity_fn_name=ScoringFunction(model.similarity),
        use_instructions=bool(model.prompts),
        training_datasets=None,
        experiment_kwargs=variant or None,
    )


class MtebEncoder(AbsEncoder):
    """Embed mteb's texts with a `Model`, loaded at the first text."""

    def __init__(self, model: Model, *, seed: int, device: str = "cpu") -> None:
        self._model = model
        self.device = device if model.kind == "transformer" else "cpu"  # other kinds run on the CPU only
        self.memo = TextMemo()
        self._encoder: Encoder | None = None
        self.mteb_model_meta: ModelMeta = model_meta(model, seed=seed)
        self._is_cosine = self.mteb_model_meta.similarity_fn_name is ScoringFunction.COSINE
        prompts, _ = self.validate_task_to_prompt_name(dict(model.prompts), raise_for_invalid_keys=False)
        self.model_prompts = prompts or None

    def encode(
        self,
        inputs: Any,
        *,
        task_metadata: "TaskMetadata",
        hf_split: str,
        hf_subset: str,
        prompt_type: "PromptType | None" = None,
        **kwargs: Any,
    ) -> np.ndarray:
        """Embed the texts of mteb's batches; repeated texts of a task are embedded once."""
        name = self.get_prompt_name(task_metadata, prompt_type)
        prompt = self.model_prompts[name] if self.model_prompts and name else None
        encode = functools.partial(self.loaded().encode, batch_size=kwargs.get("batch_size", 32), prompt=prompt)
        texts, n_texts = texts_of(inputs)
        embeddings = self.memo.embed(texts, n_texts, encode, prompt=prompt)
        # the sum is not finite if any value is not; this avoids copying gigabytes
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(embeddings, axis=None)
        if not np.isfinite(total):
            odd = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
            if len(odd):
                raise BenchError(
                    f"{self._model.label} gives {len(odd)} of {n_texts} texts an embedding that is not finite; its "
                    "weights may be damaged"
                )
        return embeddings

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Any:
        """Return mteb's similarities; a vector that is compared with many others is normalized once.

        mteb compares summaries pair by pair, and spends most of the time on normalizing.
        """
        if self._is_cosine and _is_vector(embeddings1) and _is_vector(embeddings2):
            return _unit_row(embeddings1.tobytes()) @ _unit_column(embeddings2.tobytes())
        return super().similarity(embeddings1, embeddings2)

    def similarities(self, queries: Any, documents: Any) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield `similarity` for consecutive queries and all documents; each block overwrites the one before.

        Allocating memory for all similarities takes a quarter of the product's time.
        """
        import torch
        from mteb.similarity_functions import _normalize_embeddings, _select_device

        queries, documents = torch.as_tensor(queries), torch.as_tensor(documents)  # mteb would copy them
        on_cpu = _select_device(queries, documents).type == "cpu"
        if not self._is_cosine or not on_cpu:
            scores = self.similarity(queries, documents).cpu().numpy()
            yield slice(0, len(scores)), scores
            return
        rows, columns = _normalize_embeddings(queries), _normalize_embeddings(documents).transpose(0, 1)
        n_blocks = max(1, round(len(rows) / _QUERIES))
        bounds = np.linspace(0, len(rows), n_blocks + 1).astype(int).tolist()
        memory = torch.empty((max(np.diff(bounds)), columns.shape[1]))
        for start, stop in itertools.pairwise(bounds):
            yield slice(start, stop), torch.mm(rows[start:stop], columns, out=memory[: stop - start]).numpy()

    def forget(self) -> None:
        """Clear the embeddings of the previous task."""
        self.memo = TextMemo()

    def loaded(self) -> Encoder:
        """Return the model, loaded at the first call."""
        if self._encoder is None:
            self._encoder = self._model.load(self.device)
        return self._encoder


def _is_vector(embeddings: Any) -> bool:
    return isinstance(embeddings, np.ndarray) and embeddings.ndim == 1 and embeddings.dtype == np.float32


@functools.lru_cache(maxsize=4096)
def _unit_row(vector: bytes) -> "torch.Tensor":
    """Normalize one float32 vector as mteb does: float32 tensor of shape (1, dims)."""
    import torch
    from mteb.similarity_functions import _normalize_embeddings

    return _normalize_embeddings(torch.tensor(np.frombuffer(vector, np.float32)).reshape(1, -1))


@functools.lru_cache(maxsize=4096)
def _unit_column(vector: bytes) -> "torch.Tensor":
    return _unit_row(vector).transpose(0, 1)


class MtebSearch(MtebEncoder):
    """Rank documents for mteb with a lexical `Model`, which gets corpus and queries instead of texts."""

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Index the documents to search."""
        self._searcher().index(corpus, **kwargs)

    def search(self, queries: Any, **kwargs: Any) -> Any:
        """Return the document scores of each query, by id."""
        return self._searcher().search(queries, **kwargs)

    def _searcher(self) -> Any:
        return self.loaded()


def for_mteb(model: Model, *, seed: int, device: str = "cpu") -> MtebEncoder:
    """Return the mteb adapter for a model's kind."""
    return (MtebSearch if model.kind == "lexical" else MtebEncoder)(model, seed=seed, device=device)
