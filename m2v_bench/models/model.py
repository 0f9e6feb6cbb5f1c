"""What the bench asks of a model: a card that identifies it, and a way to embed texts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np


class Encoder(Protocol):
    """Anything that embeds texts."""

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """Embed `texts`: float32 array of shape (texts, dims).

        `prompt` is put before each text by models that were trained with prompts; others ignore it.
        """
        ...


@dataclass(frozen=True)
class Model:
    """A model under test: who it is, without loading it.

    Attributes:
        name: the name in result files, `organisation/model`.
        revision: a hash of what defines the model's numbers; with `name` it identifies every score.
        label: what tables and plots call the model.
        kind: a static table of rows, a transformer, or lexical: it ranks documents by their words and embeds nothing.
        dims: dimensions of an embedding.
        n_parameters: numbers in the model.
        bytes_on_disk: size of the files that it is loaded from.
        load: loads it onto a torch device; called only when something must be computed. What it gives embeds texts;
            that of a lexical model has mteb's `index` and `search` instead.
        folder: of the files that it is loaded from; None where there is none.
        similarity: how two embeddings are compared.
        prompts: prompts by task name, task type or prompt type, as sentence-transformers keeps them.
        variant: the settings that make it one of several variants; empty for a baseline.
        task_types: the mteb task types that it can do; None for all.
        refusal: why it can do no others.
    """

    name: str
    revision: str
    label: str
    kind: Literal["static", "transformer", "lexical"]
    dims: int
    n_parameters: int
    bytes_on_disk: int
    load: Callable[[str], Any]
    folder: Path | None = None
    similarity: Literal["cosine", "dot", "euclidean", "manhattan"] = "cosine"
    prompts: Mapping[str, str] = field(default_factory=dict)
    variant: Mapping[str, Any] = field(default_factory=dict)
    task_types: frozenset[str] | None = None
    refusal: str = ""

    def cannot(self, task_type: str) -> str | None:
        """Why it cannot do tasks of an mteb task type; None when it can."""
        return None if self.task_types is None or task_type in self.task_types else self.refusal
