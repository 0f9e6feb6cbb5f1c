"""Base model: a sentence transformer in a folder, or one that the caller has loaded."""

import copy
import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from m2v_bench.assets.fetch import resolve_model
from m2v_bench.cache import content_hash, file_sha256, folder_hash
from m2v_bench.distillation.tokenizers.teacher_tokenizer import BaseTokenizer, load_tokenizer, read_tokenizer
from m2v_bench.errors import BenchError


@dataclass(frozen=True)
class BaseModel:
    """A base model, whose tokenizer, configuration and weights are loaded on demand.

    Attributes:
        name: the public name.
        revision: hash of the files that determine its numbers.
        path: its folder; None for a model loaded by the caller.
        loaded: the `transformers` model and tokenizer of the caller, or None.
    """

    name: str
    revision: str
    path: Path | None
    loaded: tuple[Any, Any] | None = None

    @property
    def folder(self) -> Path:
        """The folder of its files.

        Raises:
            BenchError: for a model loaded by the caller.
        """
        if self.path is None:
            raise BenchError(f"model: {self.name} is a loaded model without files; give its folder instead")
        return self.path

    @cached_property
    def weights_revision(self) -> str:
        """Hash of the transformer without its tokenizer."""
        if self.path is None:
            return self.revision
        return content_hash(
            [folder_hash(self.path, suffixes=(".safetensors",)), file_sha256(self.path / "config.json")]
        )

    @cached_property
    def tokenizer(self) -> BaseTokenizer:
        """Its tokenizer.

        Raises:
            BenchError: when there is none, or one of an unsupported kind.
        """
        if self.loaded is not None:
            return read_tokenizer(self.loaded[1], self.name)
        return load_tokenizer(self.folder)

    @cached_property
    def config(self) -> Any:
        """Its `transformers` configuration.

        Raises:
            BenchError: when `transformers` cannot read it.
        """
        if self.loaded is not None:
            return self.loaded[0].config
        from transformers import AutoConfig

        try:
            return AutoConfig.from_pretrained(self.folder)
        except (OSError, ValueError) as error:
            raise BenchError(
                f"base_model: {self.folder} holds no transformer that can be distilled: {error}"
            ) from error

    @property
    def hidden_size(self) -> int:
        """Dimensions of its hidden states.

        Raises:
            BenchError: when its configuration has no `hidden_size`.
        """
        size = getattr(self.config, "hidden_size", None)
        if size is None:
            raise BenchError(
                f"base_model: the configuration of {self.name} has no hidden_size, so it is not a text encoder; "
                "choose another base_model"
            )
        return int(size)

    def transformer(self, pooling: str = "mean") -> Any:
        """Load the transformer, in evaluation mode and float32.

        Args:
            pooling: a name in `POOLINGS`; `pooler` needs a pooler among the weights.

        Raises:
            BenchError: when there is none, its files are damaged, or weights are missing, which `transformers` would
                replace by random ones.
        """
        # copied, so that the caller's model does not change
        model = _load(self.folder, pooling) if self.loaded is None else copy.deepcopy(self.loaded[0]).float().eval()
        if hasattr(model, "set_attn_implementation"):
            # for sequences of a few positions, fused attention is slower than plain products
            model.set_attn_implementation("eager")
        return model


def load_sentence_transformer(folder: Path, device: str) -> Any:
    """Load a sentence-transformers model without messages and progress bars.

    Raises:
        OSError, ValueError, RuntimeError: when the folder holds none.
    """
    from sentence_transformers import SentenceTransformer

    _quiet()
    return SentenceTransformer(str(folder), device=device)


def _quiet() -> None:
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def find_base(model: Any, tokenizer: Any = None, *, revision: str | None = None) -> BaseModel:
    """Find the base model.

    Args:
        model: a catalog name, a name on the hub, a folder, or a loaded `transformers` model.
        tokenizer: the tokenizer of a loaded model.
        revision: commit on the hub.

    Raises:
        BenchError: when there is no such model, or a loaded one comes without its tokenizer.
    """
    if isinstance(model, str | Path):
        folder = resolve_model(str(model), revision)
        if not any(folder.path.glob("*.safetensors")):
            raise BenchError(
                f"base_model.name={model}: {folder.path} has no .safetensors weights; load the model with transformers "
                "and save it with save_pretrained"
            )
        return BaseModel(folder.name, folder.revision, folder.path)
    if tokenizer is None or not hasattr(model, "state_dict") or not hasattr(model, "config"):
        raise BenchError(
            f"model: got {type(model).__name__}{'' if tokenizer is not None else ' without a tokenizer'}; "
            "give a name, a folder, or a loaded transformers model with tokenizer=..."
        )
    import torch

    name = Path(getattr(model, "name_or_path", "") or "model").name
    base = read_tokenizer(tokenizer, name)
    digest = hashlib.sha256(base.tokenizer.to_str().encode())
    digest.update(f"{base.unknown} {base.padding} {base.padded}".encode())
    digest.update(model.config.to_json_string().encode())
    for key, tensor in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return BaseModel(f"loaded/{name}", content_hash(digest.hexdigest()), None, (model, tokenizer))


def _load(path: Path, pooling: str) -> Any:
    from safetensors import SafetensorError
    from transformers import AutoModel

    _quiet()
    try:
        model, info = AutoModel.from_pretrained(path, dtype="float32", use_safetensors=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BenchError(f"base_model: no transformer can be loaded from {path}: {error}") from error
    without_pooler = [name for name in info["missing_keys"] if "pooler" not in name]
    if without_pooler:
        raise BenchError(
            f"base_model: {path} lacks weights of the transformer: {', '.join(sorted(without_pooler)[:3])}"
        )
    if info["missing_keys"] and pooling == "pooler":
        raise BenchError(f"pooling=pooler: {path} has no weights of a pooler; allowed: token, mean, first, last")
    return model.eval()
