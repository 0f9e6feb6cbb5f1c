"""Compute token vectors from a forward pass or the input embeddings, cached per part of the vocabulary."""

import functools
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import cached_arrays, is_cached
from m2v_bench.distillation.forward import Pass, check_precision, forward_pass, input_vectors
from m2v_bench.distillation.recipe import FORWARD_VERSION, Recipe
from m2v_bench.distillation.vocabulary import Part, Vocabulary
from m2v_bench.errors import BenchError, override
from m2v_bench.inference.files import row_beyond

STAGE = "forward"


@dataclass(frozen=True)
class PartPass:
    """A part of the vocabulary, the settings of its forward pass, and the cache key of the result."""

    part: Part
    how: Pass
    key: dict[str, Any]

    @property
    def is_empty(self) -> bool:
        """Whether all its sequences are empty, so that its rows are zeros."""
        return not any(self.part.sequences)

    @property
    def is_cached(self) -> bool:
        """Whether its vectors need not be computed."""
        return self.is_empty or is_cached(STAGE, self.key)


def passes(recipe: Recipe, vocabulary: Vocabulary, device: str) -> list[PartPass]:
    """Return the passes that a recipe needs, one per part of the vocabulary.

    Subwords and words are cached separately, so that adding a word list does not repeat the pass over the subwords.
    """
    part_passes = []
    for part in vocabulary.parts:
        how = Pass(
            pooling=recipe.word_pooling if part.are_words else recipe.pooling,
            affixes=vocabulary.affixes,
            masked_id=vocabulary.padding_id if recipe.preset.masks_padding else None,
            precision=recipe.config.precision,
            device=device,
        )
        settings = {name: value for name, value in asdict(how).items() if name != "device"}
        key = {
            "version": FORWARD_VERSION,
            "weights": recipe.base.weights_revision,
            "sequences": part.revision,
            **({"embeddings": "input"} if recipe.config.embeddings == "input" else settings),
        }
        part_passes.append(PartPass(part, how, key))
    return part_passes


def token_vectors(
    recipe: Recipe, vocabulary: Vocabulary, device: str, show_progress: bool
) -> tuple[np.ndarray, list[dict[str, Any]], bool]:
    """Return the token vectors, float32 (tokens, hidden), the cache keys of the parts, and whether all were cached."""
    is_input = recipe.config.embeddings == "input"

    @functools.cache
    def load() -> Any:
        if not is_input:
            check_precision(recipe.config.precision, device)
        return recipe.base.transformer("mean" if is_input else recipe.pooling)

    def compute(unfinished: Path, part_pass: PartPass) -> dict[str, np.ndarray]:
        part, how = part_pass.part, part_pass.how
        _check_ids(load(), recipe, part)
        if is_input:
            vectors = input_vectors(load(), part.sequences, how)
        else:
            vectors = forward_pass(load(), part.sequences, how, shards=unfinished, show_progress=show_progress)
        if (row := row_beyond(vectors)) is not None:
            token = vocabulary.tokens[row + vocabulary.n_subwords * part.are_words]
            bf16 = " or overflow: try precision=fp32" if recipe.config.precision == "bf16" else ""
            raise BenchError(
                f"base_model.name={recipe.base.name}: the vector of token {token!r} is not finite; the model's weights "
                f"are damaged{bf16}. To drop the token: "
                f"{override('token_remove_pattern', _without(recipe.config.token_remove_pattern, token))}"
            )
        return {"vectors": vectors}

    part_passes, blocks, hits = passes(recipe, vocabulary, device), [], []
    for part_pass in part_passes:
        if part_pass.is_empty:
            blocks.append(np.zeros((len(part_pass.part.sequences), recipe.base.hidden_size), np.float32))
            continue
        arrays, hit = cached_arrays(STAGE, part_pass.key, functools.partial(compute, part_pass=part_pass))
        blocks.append(arrays["vectors"])
        hits.append(hit)
    keys = [part_pass.key for part_pass in part_passes]
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks), keys, all(hits)


def _check_ids(model: Any, recipe: Recipe, part: Part) -> None:
    """Refuse a token whose id has no row in the model's embedding matrix.

    Raises:
        BenchError: naming the token, its id, and how to give it a row.
    """
    n_rows = len(model.get_input_embeddings().weight)
    largest = max((max(sequence) for sequence in part.sequences if sequence), default=-1)
    if largest < n_rows:
        return
    raise BenchError(
        f"base_model.name={recipe.base.name}: its tokenizer gives token "
        f"{recipe.base.tokenizer.tokenizer.id_to_token(largest)!r} the id {largest}, but its embedding matrix has "
        f"rows 0 to {n_rows - 1}. Give the token a row and save the model: "
        f"model.resize_token_embeddings({largest + 1}); model.save_pretrained(folder)"
    )


def _without(remove: str | None, token: str) -> str:
    """Extend `token_remove_pattern` by one token."""
    return "|".join([*([remove] if remove else []), f"{re.escape(token)}$"])


def pick_device(device: str) -> str:
    """Return `device`; for `auto` return `cuda` if available, else `cpu`."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
