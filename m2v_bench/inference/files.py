"""Read and write the files of static models: model2vec's format, and to read also those of sentence-transformers."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.errors import BenchError, refuse_lfs_pointer, whole_number
from m2v_bench.inference.mapped_tensors import read_tensors


@dataclass(frozen=True)
class Files:
    """The content of a static model's files.

    Attributes:
        table: shape (rows, dims), in the number type of the file.
        tokenizer: splits texts into tokens.
        config: content of `config.json`, with what sentence-transformers keeps in other files.
        weights: one factor per token, shape (tokens,), or None.
        mapping: the row of each token, shape (tokens,), or None.
    """

    table: np.ndarray
    tokenizer: Tokenizer
    config: dict[str, Any]
    weights: np.ndarray | None = None
    mapping: np.ndarray | None = None


class _Layout(NamedTuple):
    """Names of the files that hold a model, and of its table among the tensors."""

    config: str
    tensors: str
    tokenizer: str
    table: str

    @property
    def files(self) -> tuple[str, str, str]:
        return self.config, self.tensors, self.tokenizer


_MODEL2VEC = _Layout("config.json", "model.safetensors", "tokenizer.json", "embeddings")
_LAYOUTS = (
    _MODEL2VEC,
    # a StaticEmbedding of sentence-transformers, in the model's folder or in one of its own
    _Layout("config_sentence_transformers.json", "model.safetensors", "tokenizer.json", "embedding.weight"),
    _Layout(
        "config_sentence_transformers.json",
        "0_StaticEmbedding/model.safetensors",
        "0_StaticEmbedding/tokenizer.json",
        "embedding.weight",
    ),
)
_NORMALIZE = "sentence_transformers.models.Normalize"
_PIPELINES = (["StaticEmbedding"], ["StaticEmbedding", "Normalize"])
_RUN_ALL = "run it with kind=sentence_transformer (in Python SentenceTransformer(folder)), which does"


class OtherPipeline(BenchError):
    """The files of sentence-transformers ask for a step that a static model does not compute."""


def read(path: str | Path, *, token: str | None = None, dimensionality: int | None = None) -> Files:
    """Read a model from a folder, or from the model hub.

    What sentence-transformers keeps in other files becomes part of `config`: `normalize`, `max_length`, `rules`.

    Args:
        path: a folder, or a name on the hub.
        token: access token of a private model on the hub.
        dimensionality: dimensions that the caller keeps, whatever `truncate_dim` says; None keeps those of the files.

    Raises:
        BenchError: when there is no such model, a file is missing or damaged, or the files ask for a step that a static
            model does not have.
    """
    folder = locate(path, token=token)
    _refuse_transformer(folder, str(path))
    layouts = [layout for layout in _LAYOUTS if all((folder / name).is_file() for name in layout.files)]
    if not layouts:
        missing = [name for name in _MODEL2VEC.files if not (folder / name).is_file()]
        raise BenchError(f"{folder} is not a static model: {', '.join(missing)} missing")
    try:
        for name in dict.fromkeys(name for layout in layouts for name in layout.files):
            refuse_lfs_pointer(folder / name)
        # a folder may match two layouts; the name of the table decides
        for layout in layouts:
            tensors = read_tensors(folder / layout.tensors)
            if layout.table in tensors:
                return _read_layout(folder, layout, tensors, dimensionality)
    except BenchError:
        raise
    except Exception as error:
        # safetensors, json and tokenizers raise errors of their own, tokenizers a plain Exception
        raise BenchError(f"{folder} is damaged: {error}; copy or make the model again") from error
    names = " or ".join(dict.fromkeys(repr(layout.table) for layout in layouts))
    raise BenchError(f"{folder} is not a static model: model.safetensors has no tensor {names}")


def _read_layout(folder: Path, layout: _Layout, tensors: dict[str, np.ndarray], dimensionality: int | None) -> Files:
    path = folder / layout.config
    config = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise BenchError(f"{path} is {type(config).__name__}, not a JSON object")
    tokenizer = Tokenizer.from_file(str(folder / layout.tokenizer))
    table, modules = tensors[layout.table], _modules(folder)
    if layout == _MODEL2VEC:
        _check_config(config, path)
    else:
        if dimensionality is not None:
            config.pop("truncate_dim", None)
        config |= _static_embedding_config(config, path, modules, tokenizer)
        # rows beyond the last token, as in a matrix padded to a round size, are never used
        table = table[: tokenizer.get_vocab_size(), : config.get("truncate_dim")]
    return Files(table, tokenizer, config, tensors.get("weights"), tensors.get("mapping"))


def _refuse_transformer(folder: Path, name: str) -> None:
    """Refuse the files of a transformer, with the call that distils it."""
    try:
        config_path = folder / "config.json"
        config = json.loads(config_path.read_text(encoding="utf-8")) if config_path.is_file() else {}
        kind = config.get("model_type", "model2vec") if isinstance(config, dict) else "model2vec"
        if kind != "model2vec" or (_module_names(folder) or [""])[0] == "Transformer":
            raise BenchError(_distil_first(name))
    except (ValueError, TypeError, AttributeError):  # damaged files are reported by who reads them
        return


def _distil_first(name: str) -> str:
    return f"{name} is a transformer, not a static model; distil it first: m2v_bench.distill({name!r})"


def _module_names(folder: Path) -> list[str] | None:
    """Return the class names of the pipeline in modules.json; None without that file."""
    path = folder / "modules.json"
    if not path.is_file():
        return None
    return [str(module.get("type", "")).rpartition(".")[2] for module in json.loads(path.read_text(encoding="utf-8"))]


def _modules(folder: Path) -> list[str]:
    """Return the class names of the pipeline in modules.json; empty without that file.

    Raises:
        OtherPipeline: naming the first module that is neither the table nor the division by the norm.
    """
    path, names = folder / "modules.json", _module_names(folder)
    if names is None:
        return []
    if names not in _PIPELINES:
        odd = next((name for name in names if name not in _PIPELINES[1]), "in an unusual order")
        raise OtherPipeline(
            f"{path}: the pipeline {' -> '.join(names)} has {odd}, which a static model does not compute; {_RUN_ALL}"
        )
    return names


def _check_config(config: dict[str, Any], path: Path) -> None:
    """Refuse values in a config.json of model2vec that would be misread."""
    if (longest := config.get("max_length")) is not None:
        config["max_length"] = whole_number(f"{path}: max_length", longest, least=1, instead="null to cut nothing")
    for name, allowed in (("normalize", (True, False, None)), ("rules", ("model2vec", "sentence-transformers", None))):
        if (value := config.get(name)) not in allowed:
            raise BenchError(f"{path}: {name}={value!r}; allowed: {', '.join(map(json.dumps, allowed))}")


def _static_embedding_config(
    config: dict[str, Any], path: Path, modules: list[str], tokenizer: Tokenizer
) -> dict[str, Any]:
    """Return what a StaticEmbedding of sentence-transformers computes, in the terms of model2vec's config.json."""
    normalize, longest = "Normalize" in modules, None
    if tokenizer.truncation is not None:
        longest = tokenizer.truncation["max_length"]
        if str(tokenizer.truncation["direction"]).lower() != "right":
            raise OtherPipeline(f"{path.parent}: tokenizer.json cuts long texts at their beginning; {_RUN_ALL}")
    if prompt := (config.get("prompts") or {}).get(config.get("default_prompt_name")):
        raise OtherPipeline(
            f"{path}: default_prompt_name={config['default_prompt_name']} puts {prompt!r} before every text; {_RUN_ALL}"
        )
    if config.get("truncate_dim") is not None:
        truncated = whole_number(f"{path}: truncate_dim", config["truncate_dim"], least=1)
        if normalize:
            raise OtherPipeline(
                f"{path}: truncate_dim={truncated} cuts embeddings after they are normalized. To cut before, load it "
                f"with StaticModel.from_pretrained(folder, dimensionality={truncated}); or {_RUN_ALL}"
            )
    return {"normalize": normalize, "max_length": longest, "rules": "sentence-transformers"}


def locate(path: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """Return the folder of a model, downloaded if `path` is a name on the hub.

    Args:
        path: a folder, or a name on the hub.
        revision: the commit to take from the hub; the newest when None.
        token: access token of a private model on the hub.

    Raises:
        BenchError: when there is no such model.
    """
    local = Path(path).expanduser()
    if local.is_file():
        raise BenchError(f"{path} is a file; name the folder of the model: {local.parent}")
    return local if local.is_dir() else _from_hub(str(path), revision, token)


def row_beyond(table: np.ndarray, limit: float = math.inf) -> int | None:
    """Return the first row with a value that is not finite or not below `limit` in magnitude; None without one."""
    if not table.size or table.dtype.kind in "iu":
        return None
    if max(float(table.max()), -float(table.min())) < limit:  # nan compares false
        return None
    return int(np.flatnonzero(~(np.abs(table) < limit).all(axis=1))[0])


def write(folder: Path, files: Files, card: str) -> None:
    """Write `files` and the model card to `folder`, so that model2vec and sentence-transformers load them."""
    from m2v_bench.cache import write_json, write_tensors

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {"embeddings": files.table, "weights": files.weights, "mapping": files.mapping}
    write_tensors(folder / "model.safetensors", {name: array for name, array in tensors.items() if array is not None})
    files.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "config.json", files.config)
    modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    if files.config["normalize"]:
        modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": _NORMALIZE})
    write_json(folder / "modules.json", modules)
    (folder / "README.md").write_text(card, encoding="utf-8")


def push(folder: Path, repo_id: str, *, private: bool, token: str | None) -> str:
    """Upload `folder` to the model hub; create the repository unless it exists.

    Returns:
        The address of the commit.

    Raises:
        BenchError: when the hub refuses or cannot be reached.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    try:
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message="Add static model").commit_url)
    except Exception as error:
        # the hub client raises many kinds of errors, which mean the same to the user
        raise BenchError(f"{repo_id} could not be pushed to the model hub: {error}") from error


def _from_hub(name: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download

    from m2v_bench.assets.fetch import catalog, is_offline

    for asset in catalog().values():
        if asset.kind == "model" and name in (asset.name, asset.model_name):
            raise BenchError(_distil_first(asset.name))
    if Path(name).is_absolute() or len(Path(name).parts) > 2:
        raise BenchError(f"{name}: no such folder; name the folder of a static model, or one on the hub (org/name)")
    files = sorted({name for layout in _LAYOUTS for name in layout.files} | {"modules.json"})
    offline = is_offline("HF_HUB_OFFLINE")

    def download(files: list[str], revision: str | None) -> Path:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=files, token=token, local_files_only=offline)
        )

    try:
        # before the weights, as those of a transformer may be large
        folder = download(["config.json", "modules.json"], revision)
        _refuse_transformer(folder, name)
        return download(files, folder.name)  # the client names the folder after the commit
    except BenchError:
        raise
    except Exception as error:
        # the hub client raises many kinds of errors, which mean the same to the user
        raise BenchError(f"{name} is neither a folder nor a model that the hub gives: {error}") from error
