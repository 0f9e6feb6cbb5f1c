"""A `Model` in the shape that mteb calls."""

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta, ScoringFunction

from m2v_bench.errors import BenchError
from m2v_bench.evaluation.memo import TextMemo
from m2v_bench.models.model import Encoder, Model

if TYPE_CHECKING:
    from mteb.abstasks.task_metadata import TaskMetadata
    from mteb.types import PromptType


def model_meta(model: Model, *, seed: int) -> ModelMeta:
    """What mteb files a model's scores under: its name, its revision, and the variant as `experiment_kwargs`."""
    variant = dict(model.variant)
    if seed != 42:
        variant["seed"] = seed  # other draws give other scores: they must not share a file with the usual ones
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
        # `analysis.stored.kind_of` reads the kind from these two
        framework=["Sentence Transformers"] if model.kind == "transformer" else ["NumPy"],
        model_type=["sparse"] if model.kind == "lexical" else ["dense"],
        similarity_fn_name=ScoringFunction(model.similarity),
        use_instructions=bool(model.prompts),
        training_datasets=None,
        experiment_kwargs=variant or None,
    )


class MtebEncoder(AbsEncoder):
    """Gives mteb the embeddings of a `Model`, which is loaded when the first text comes."""

    def __init__(self, model: Model, *, seed: int, device: str = "cpu") -> None:
        self._model = model
        self.device = device if model.kind == "transformer" else "cpu"  # the others run nowhere else
        self.memo = TextMemo()
        self._encoder: Encoder | None = None
        self.mteb_model_meta: ModelMeta = model_meta(model, seed=seed)
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
        """Embed the texts of mteb's batches; a text that a task asks for many times is embedded once."""
        name = self.get_prompt_name(task_metadata, prompt_type)
        prompt = self.model_prompts[name] if self.model_prompts and name else None
        encode = functools.partial(self.loaded().encode, batch_size=kwargs.get("batch_size", 32), prompt=prompt)
        texts = (text for batch in inputs for text in batch["text"])
        data = getattr(inputs, "dataset", None)  # a list of batches has none
        n_texts = sum(len(batch["text"]) for batch in inputs) if data is None else len(data)
        embeddings = self.memo.embed(texts, n_texts, encode, prompt=prompt)
        # the sum is not finite where a number is not: no copy of what may be gigabytes
        with np.errstate(over="ignore", invalid="ignore"):
            total = np.add.reduce(embeddings, axis=None)
        if not np.isfinite(total):
            odd = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
            if len(odd):
                raise BenchError(
                    f"{self._model.label} gives {len(odd)} of {n_texts} texts an embedding that is not finite; its "
                    "weights are damaged"
                )
        return embeddings

    def forget(self) -> None:
        """Begin a task: what an earlier one asked for is not kept."""
        self.memo = TextMemo()

    def loaded(self) -> Encoder:
        """The loaded model."""
        if self._encoder is None:
            self._encoder = self._model.load(self.device)
        return self._encoder


class MtebSearch(MtebEncoder):
    """Gives mteb the rankings of a `Model` that embeds nothing: mteb hands it corpus and queries, not texts."""

    def index(self, corpus: Any, **kwargs: Any) -> None:
        """Take in the documents that are searched."""
        self._searcher().index(corpus, **kwargs)

    def search(self, queries: Any, **kwargs: Any) -> Any:
        """Per query the scores of documents, by their ids."""
        return self._searcher().search(queries, **kwargs)

    def _searcher(self) -> Any:
        return self.loaded()


def for_mteb(model: Model, *, seed: int, device: str = "cpu") -> MtebEncoder:
    """A model in the shape in which mteb calls its kind."""
    return (MtebSearch if model.kind == "lexical" else MtebEncoder)(model, seed=seed, device=device)
