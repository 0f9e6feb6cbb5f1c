"""Model under test: metadata that identifies it, and the encoder protocol."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np


class Encoder(Protocol):
    """Anything that embeds texts."""

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """Embed `texts`: a new float32 array of shape (texts, dims).

        Models trained with prompts put `prompt` before each text; others ignore it.
        """
        ...


@dataclass(frozen=True)
class Model:
    """Metadata of a model under test, and a function that loads it.

    Attributes:
        name: name in result files, `organisation/model`.
        revision: hash of everything that determines the model's numbers; with `name` it identifies every score.
        label: name in tables and plots.
        kind: `static` (a table of rows), `transformer`, or `lexical` (ranks documents by words, without embeddings).
        dims: dimensions of an embedding.
        n_parameters: number of parameters.
        bytes_on_disk: total size of the files.
        load: torch device -> loaded model; called only when needed. Returns an `Encoder`, or for a lexical model an
            object with mteb's `index` and `search`.
        folder: folder of the files; None if there is none.
        similarity: similarity function for two embeddings.
        prompts: prompts by task name, task type or prompt type, as in sentence-transformers.
        variant: settings that distinguish it from other variants; empty for a baseline.
        task_types: supported mteb task types; None for all.
        refusal: why other task types are not supported.
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
        """Return why tasks of an mteb task type are not supported; None if they are."""
        return None if self.task_types is None or task_type in self.task_types else self.refusal
