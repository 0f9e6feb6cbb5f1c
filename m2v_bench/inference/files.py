"""The files of a static model: model2vec's format, written and read; the layouts of sentence-transformers, read."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.cache import refuse_lfs_pointer
from m2v_bench.errors import BenchError, whole_number


@dataclass(frozen=True)
class Files:
    """What a static model consists of on disk.

    Attributes:
        table: rows (rows, dims), in the number type of the file.
        tokenizer: splits texts into tokens.
        config: what `config.json` says, with what sentence-transformers says elsewhere.
        weights: one factor per token, or None.
        mapping: each token's row, or None.
    """

    table: np.ndarray
    tokenizer: Tokenizer
    config: dict[str, Any]
    weights: np.ndarray | None = None
    mapping: np.ndarray | None = None


# (config, tensors, tokenizer, name of the table): model2vec, sentence-transformers, StaticEmbedding in a module folder
_LAYOUTS = (
    ("config.json", "model.safetensors", "tokenizer.json", "embeddings"),
    ("config_sentence_transformers.json", "model.safetensors", "tokenizer.json", "embedding.weight"),
    (
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
    """Files of sentence-transformers that ask for a step which a static model does not compute."""


def read(path: str | Path, *, token: str | None = None, dimensionality: int | None = None) -> Files:
    """Read a model from a folder, or from the model hub.

    What sentence-transformers says in files of its own becomes part of `config`: `normalize`, `max_length`, `rules`.

    Args:
        path: a folder, or a name on the hub.
        token: access token of a private model on the hub.
        dimensionality: the dimensions that the caller keeps, whatever `truncate_dim` says; None keeps those.

    Raises:
        BenchError: when there is no such model, a file is missing or damaged, or the files ask for a step that a static
            model does not have.
    """
    folder = locate(path, token=token)
    _refuse_transformer(folder, str(path))
    found = [layout for layout in _LAYOUTS if all((folder / name).is_file() for name in layout[:3])]
    if not found:
        missing = [name for name in _LAYOUTS[0][:3] if not (folder / name).is_file()]
        raise BenchError(f"{folder} is not a static model: {', '.join(missing)} missing")
    # a folder may answer to two layouts; the name of the table decides
    try:
        for name in dict.fromkeys(name for layout in found for name in layout[:3]):
            refuse_lfs_pointer(folder / name)
        tensors = {layout[1]: _mapped(folder / layout[1]) for layout in found}
        for config, weights, tokenizer, table in found:
            arrays = tensors[weights]
            if table in arrays:
                settings = json.loads((folder / config).read_text(encoding="utf-8"))
                if not isinstance(settings, dict):
                    raise BenchError(f"{folder / config} is {type(settings).__name__}, not a JSON object")
                split = Tokenizer.from_file(str(folder / tokenizer))
                rows, modules = arrays[table], _modules(folder)
                if config == "config.json":
                    _check_settings(settings, folder / config)
                else:
                    if dimensionality is not None:
                        settings.pop("truncate_dim", None)
                    settings |= _of_sentence_transformers(settings, folder / config, modules, split)
                    # rows beyond the last token, as of a matrix padded to a round size, are never read
                    rows = rows[: split.get_vocab_size(), : settings.get("truncate_dim")]
                return Files(rows, split, settings, arrays.get("weights"), arrays.get("mapping"))
    except BenchError:
        raise
    except Exception as error:
        # safetensors, json and tokenizers have errors of their own, tokenizers a plain Exception
        raise BenchError(f"{folder} is damaged: {error}; copy or make the model again") from error
    names = " or ".join(dict.fromkeys(repr(layout[3]) for layout in found))
    raise BenchError(f"{folder} is not a static model: model.safetensors has no tensor {names}")


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


def _check_settings(settings: dict[str, Any], path: Path) -> None:
    """Refuse values in a config.json of model2vec that would be read in another way than they are meant."""
    if (longest := settings.get("max_length")) is not None:
        settings["max_length"] = whole_number(f"{path}: max_length", longest, least=1, instead="null to cut nothing")
    for name, allowed in (("normalize", (True, False, None)), ("rules", ("model2vec", "sentence-transformers", None))):
        if (value := settings.get(name)) not in allowed:
            raise BenchError(f"{path}: {name}={value!r}; allowed: {', '.join(map(json.dumps, allowed))}")


def _of_sentence_transformers(
    settings: dict[str, Any], path: Path, modules: list[str], tokenizer: Tokenizer
) -> dict[str, Any]:
    """What a StaticEmbedding of sentence-transformers computes, as settings of a `StaticModel`."""
    normalize, longest = "Normalize" in modules, None
    if tokenizer.truncation is not None:
        longest = tokenizer.truncation["max_length"]
        if str(tokenizer.truncation["direction"]).lower() != "right":
            raise OtherPipeline(f"{path.parent}: tokenizer.json cuts long texts at their beginning; {_RUN_ALL}")
    if prompt := (settings.get("prompts") or {}).get(settings.get("default_prompt_name")):
        raise OtherPipeline(
            f"{path}: default_prompt_name={settings['default_prompt_name']} puts {prompt!r} before every text; "
            f"{_RUN_ALL}"
        )
    if settings.get("truncate_dim") is not None:
        truncated = whole_number(f"{path}: truncate_dim", settings["truncate_dim"], least=1)
        if normalize:
            raise OtherPipeline(
                f"{path}: truncate_dim={truncated} cuts embeddings after they are normalized. To cut before, load it "
                f"with StaticModel.from_pretrained(folder, dimensionality={truncated}); or {_RUN_ALL}"
            )
    return {"normalize": normalize, "max_length": longest, "rules": "sentence-transformers"}


def locate(path: str | Path, *, revision: str | None = None, token: str | None = None) -> Path:
    """The folder of a model's files, which is downloaded when `path` is a name on the hub.

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
    """The first row with a value that is not a number, or not below `limit`; None where there is none."""
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
    held = {name: array for name, array in tensors.items() if array is not None}
    write_tensors(folder / "model.safetensors", held)
    files.tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    write_json(folder / "config.json", files.config)
    modules = [{"idx": 0, "name": "0", "path": ".", "type": "sentence_transformers.models.StaticEmbedding"}]
    if files.config["normalize"]:
        modules.append({"idx": 1, "name": "1", "path": "1_Normalize", "type": _NORMALIZE})
    write_json(folder / "modules.json", modules)
    (folder / "README.md").write_text(card, encoding="utf-8")


def push(folder: Path, repo_id: str, *, private: bool, token: str | None) -> str:
    """Upload `folder` to the model hub, making the repository when there is none.

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
        # the hub client raises many kinds of errors; to the user they are one
        raise BenchError(f"{repo_id} could not be pushed to the model hub: {error}") from error


_MAPPED = {
    **{"F32": np.float32, "F16": np.float16, "F64": np.float64, "I8": np.int8, "I32": np.int32, "I64": np.int64},
    "BF16": np.uint16,  # numpy has no bfloat16; these are the upper halves of float32
}
# what the safetensors package gives as numpy arrays
_SAFETENSORS = (*_MAPPED, "U8", "I16", "U16", "U32", "U64", "BOOL")


def _mapped(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file, mapped into memory: only rows that are used are read.

    What cannot be mapped as it is, damaged files too, is left to the safetensors package.
    """
    with path.open("rb") as file:
        begin, size = 8 + int.from_bytes(file.read(8), "little"), path.stat().st_size
        header: dict[str, Any] = json.loads(file.read(begin - 8)) if begin <= size else {"": {"dtype": None}}
    header.pop("__metadata__", None)
    arrays: dict[str, np.ndarray] = {}
    end = 0  # the arrays lie one behind the other and fill the file
    for name, tensor in sorted(header.items(), key=lambda item: item[1].get("data_offsets", [0])):
        if tensor["dtype"] not in _MAPPED:
            break
        dtype: np.dtype[Any] = np.dtype(_MAPPED[tensor["dtype"]])
        (first, last), shape = tensor["data_offsets"], tuple(tensor["shape"])
        fits = first == end and 0 < last - first == dtype.itemsize * math.prod(shape) and begin + last <= size
        if not fits or (begin + first) % dtype.itemsize:
            break
        # a private copy of a page that is written to: the file stays as it is
        array, end = np.memmap(path, dtype, "c", begin + first, shape), last
        arrays[name] = array if tensor["dtype"] != "BF16" else (array.astype(np.uint32) << 16).view(np.float32)
    if len(arrays) == len(header) and begin + end == size:
        return arrays
    odd = {str(tensor["dtype"]) for tensor in header.values() if tensor["dtype"]} - set(_SAFETENSORS)
    if odd:
        raise BenchError(
            f"{path}: number type {', '.join(sorted(odd))} is not read; allowed: {', '.join(_SAFETENSORS)}"
        )
    from safetensors.numpy import load_file

    return load_file(path)


def _from_hub(name: str, revision: str | None, token: str | None) -> Path:
    from huggingface_hub import snapshot_download

    from m2v_bench.assets.fetch import catalog, is_offline

    for asset in catalog().values():
        if asset.kind == "model" and name in (asset.name, asset.model_name):
            raise BenchError(_distil_first(asset.name))
    if Path(name).is_absolute() or len(Path(name).parts) > 2:
        raise BenchError(f"{name}: no such folder; name the folder of a static model, or one on the hub (org/name)")
    files = sorted({part for layout in _LAYOUTS for part in layout[:3]} | {"modules.json"})
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
        # the hub client raises many kinds of errors; to the user they are one
        raise BenchError(f"{name} is neither a folder nor a model that the hub gives: {error}") from error
