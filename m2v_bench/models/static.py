"""Load static models as models under test: distilled, published, and WordLlama."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from m2v_bench.assets.fetch import MODEL_FILES, catalog, fetch
from m2v_bench.cache import content_hash, folder_bytes, folder_hash
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError
from m2v_bench.inference import files
from m2v_bench.inference.static_model import DEFAULT_MAX_LENGTH, StaticModel
from m2v_bench.inference.wordllama import read_wordllama
from m2v_bench.models.model import Model


class StaticEncoder:
    """A `StaticModel` as an `Encoder`."""

    def __init__(self, model: StaticModel) -> None:
        self.model = model

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; `batch_size` is ignored."""
        return self.model.encode([prompt + text for text in texts] if prompt else texts)


class Student(Protocol):
    """The identity of a distilled model, as a `Recipe` and the record of a run have it."""

    @property
    def name(self) -> str:
        """Name in result files."""

    @property
    def revision(self) -> str:
        """Hash of everything that determines its numbers."""

    @property
    def label(self) -> str:
        """Name in tables and plots."""

    @property
    def variant(self) -> Mapping[str, Any]:
        """Its settings."""


def distilled(model: StaticModel, folder: Path, student: Student) -> Model:
    """Return a distilled model that was saved to `folder`."""
    return _as_model(
        model,
        folder,
        name=student.name,
        revision=student.revision,
        label=student.label,
        bytes_on_disk=folder_bytes(folder),
        variant=student.variant,
    )


def _as_model(model: StaticModel, folder: Path, **fields: Any) -> Model:
    """Return a `Model` that is `model`, loaded from `folder`."""
    return Model(
        kind="static",
        dims=model.dims,
        n_parameters=model.n_parameters,
        load=lambda device: StaticEncoder(model),
        folder=folder,
        **fields,
    )


def static(key: str, config: BaselineConfig) -> Model:
    """Load a static model from a folder or the hub: potion, M2V, or a distilled model.

    A model from the hub keeps its name and commit, so that its scores match up with published ones.
    """
    name, setting = str(config.name), f"baselines.{key}"
    local = Path(name).expanduser()
    if local.is_dir() and config.revision is not None:
        raise BenchError(f"{setting}.revision={config.revision}: only a model from the hub has one; leave it null")
    try:
        folder = files.locate(local if local.is_dir() else name, revision=config.revision)
        model = StaticModel.from_pretrained(folder)
    except files.OtherPipeline as error:
        raise files.OtherPipeline(f"{setting}.name={name}: {error}") from error
    except BenchError as error:
        revision = "" if config.revision is None else f" {setting}.revision=null"
        raise BenchError(
            f"{setting}.name={name}: {error}\n"
            f"Without a hub, copy the model's folder to this machine and set {setting}.name=/path/to/folder{revision}"
        ) from error
    return _as_model(
        model,
        folder,
        name=f"local/{folder.resolve().name}" if local.is_dir() else name,
        # the hub's client names the folder after the commit
        revision=_revision(folder_hash(folder, suffixes=MODEL_FILES) if local.is_dir() else folder.name, model),
        label=config.label or key,
        bytes_on_disk=folder_bytes(folder, suffixes=MODEL_FILES),
        similarity=model.similarity_fn_name,
        prompts={name: text for name, text in (model.config.get("prompts") or {}).items() if text},
    )


def _revision(files_id: str, model: StaticModel) -> str:
    """Return the commit or hash of the files, with a hash of reading options that differ from version 0.1's."""
    if (model.max_length, model.rules) == (DEFAULT_MAX_LENGTH, "model2vec"):
        return files_id
    return f"{files_id}-{content_hash([model.max_length, model.rules])[:8]}"


def wordllama(key: str, config: BaselineConfig) -> Model:
    """Load WordLlama (Miller, 2024): averaged token rows from a language model, trained further.

    Its encoder is the plain mean without normalization or maximum length, hence a `StaticModel`; the embeddings equal
    those of the `wordllama` package.
    """
    name, known = str(config.name), [asset.name for asset in catalog().values() if "wordllama" in asset.package]
    if name not in known:
        raise BenchError(f"baselines.{key}.name={name}: no WordLlama in the catalog; allowed: {', '.join(known)}")
    folder = fetch([name])[name]
    model = read_wordllama(folder)
    return _as_model(
        model,
        folder,
        name=str(catalog()[name].model_name),
        revision=folder_hash(folder),
        label=config.label or key,
        bytes_on_disk=folder_bytes(folder),
    )
