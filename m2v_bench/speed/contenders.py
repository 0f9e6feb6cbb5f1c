"""What the words of `m2v-bench speed` mean: models, and the libraries that run them."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from m2v_bench.assets.fetch import catalog
from m2v_bench.config.check import check
from m2v_bench.config.compose import compose
from m2v_bench.config.schema import BaselineConfig, Config, conf_dir
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.distillation.recipe import make_recipe
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.inference.files import OtherPipeline
from m2v_bench.models import Model, load_baselines
from m2v_bench.models.sentence_transformer import is_static, sentence_transformer
from m2v_bench.models.static import distilled, static
from m2v_bench.speed.loaders import Contender
from m2v_bench.system.environment import version_of
from m2v_bench.system.packages import EXTRAS

# library -> the loader by which it runs the files of a static model of ours
PEERS = {"model2vec": "model2vec", "sentence-transformers": "sentence_transformer"}
_BY_SENTENCE_TRANSFORMERS = ("sentence_transformer", "vectors")


def contenders(words: Sequence[str], scratch: Path, *, config_dir: str | None = None) -> list[Contender]:
    """The models that words mean.

    Args:
        words: folders, names of the hub or the asset catalog, names of baselines, or `LIBRARY:FOLDER`, a static model
            as that library runs it; none means the distilled model of the default settings, its baselines, and the
            same model as each of `PEERS` runs it.
        scratch: an empty folder, where the distilled model goes; it must outlive the contenders.
        config_dir: a folder of further config files.

    Raises:
        BenchError: naming the word that means nothing, or a package that is not there.
    """
    if not words:
        return _default(scratch, config_dir)
    found: list[Contender] = []
    for word in dict.fromkeys(words):
        library, _, name = word.partition(":")
        found += [_peer(library, name, config_dir)] if library in PEERS and name else _find(word, config_dir)
    labels = [each.label for each in found]
    return [
        replace(each, label=f"{each.label} ({each.source})") if labels.count(each.label) > 1 else each for each in found
    ]


def _default(scratch: Path, config_dir: str | None) -> list[Contender]:
    settings = _settings([], config_dir)
    recipe = make_recipe(settings.base_model.name, settings.distillation, revision=settings.base_model.revision)
    folder = scratch / "model"
    model = run_recipe(recipe, device="cpu").model
    model.save_pretrained(folder, name=recipe.label)
    student = distilled(
        model, folder, name=recipe.name, revision=recipe.revision, label=recipe.label, variant=recipe.variant
    )
    own = _as_contender(student, "static")
    baselines = _baselines(settings, load_baselines(settings.baselines, recipe.base))
    return [own, *(_run_by(library, own) for library in PEERS), *baselines]


def _settings(words: list[str], config_dir: str | None) -> Config:
    return check(compose(words, config_dir))


def _baselines(settings: Config, models: Sequence[Model]) -> list[Contender]:
    found = []
    for (key, config), model in zip(settings.baselines.items(), models, strict=True):
        if model.kind == "lexical":
            raise BenchError(f"{key}: ranks documents by their words and embeds no text; leave it out")
        loader = {"teacher": "sentence_transformer"}.get(config.kind, config.kind)
        if model.folder is None:
            found.append(_as_contender(model, "baseline", json.dumps({"key": key, **asdict(config)})))
        else:
            found.append(_as_contender(model, loader))
    return found


def _as_contender(model: Model, loader: str, source: str | None = None) -> Contender:
    library = "sentence-transformers" if loader in _BY_SENTENCE_TRANSFORMERS else "m2v_bench"
    return Contender(
        label=model.label,
        loader=loader,
        source=source or str(model.folder),
        library=_with_version(library),
        name=model.name,
        kind=model.kind,
        dims=model.dims,
        n_parameters=model.n_parameters,
        bytes_on_disk=model.bytes_on_disk,
        revisions=(model.revision,),
    )


def _with_version(library: str) -> str:
    from m2v_bench.system.version import __version__

    return f"{library} {__version__ if library == 'm2v_bench' else version_of(library)}"


def _run_by(library: str, own: Contender) -> Contender:
    """A static model of ours as another library runs its files."""
    absent = None
    if importlib.util.find_spec(library.replace("-", "_")) is None:
        absent = f"{library} is not installed: pip install {' '.join(EXTRAS['peers'])}"
    return replace(
        own,
        label=f"{own.label}, by {library}",
        loader=PEERS[library],
        library=_with_version(library),
        peer=True,
        absent=absent,
    )


def _peer(library: str, name: str, config_dir: str | None) -> Contender:
    (own,) = _find(name, config_dir)
    if own.loader != "static":
        raise BenchError(
            f"{library}:{name}: {name} is no static model whose files {library} reads; name the folder of one"
        )
    peer = _run_by(library, own)
    if peer.absent:
        raise BenchError(f"{library}:{name}: {peer.absent}, or install m2v-bench with its extra `peers`")
    return peer


def _find(word: str, config_dir: str | None) -> list[Contender]:
    if Path(word).expanduser().is_dir():
        return [_of_folder(word)]
    if word in _baseline_names(config_dir):
        settings = _settings([f"baseline=[{word}]"], config_dir)
        return _baselines(settings, load_baselines(settings.baselines, _teacher(settings)))
    if word in catalog() and catalog()[word].kind == "model":
        model = sentence_transformer(word, BaselineConfig(kind="sentence_transformer", name=word))
        return [_as_contender(model, "sentence_transformer")]
    if word.count("/") == 1 and not word.startswith(("/", ".", "~")):
        return [_of_folder(word)]
    known = [*_baseline_names(config_dir), *(asset.name for asset in catalog().values() if asset.kind == "model")]
    raise BenchError(
        f"{word}: no such model.{did_you_mean(word, known)} Allowed: the folder of a model, a name on the model hub "
        f"(org/name), {' or '.join(f'{library}:FOLDER' for library in PEERS)}, or one of "
        f"{', '.join(dict.fromkeys(known))}"
    )


def _teacher(settings: Config) -> Any:
    from m2v_bench.distillation.teacher import find_base

    return find_base(settings.base_model.name, revision=settings.base_model.revision)


def _baseline_names(config_dir: str | None) -> list[str]:
    folders = [conf_dir(), *([] if config_dir is None else [Path(config_dir)])]
    return sorted({path.stem for folder in folders for path in (folder / "baseline").glob("*.yaml")})


def _of_folder(word: str) -> Contender:
    """A folder, or a name on the hub: a static model, else one of sentence-transformers."""
    key = Path(word).expanduser().resolve().name if Path(word).expanduser().is_dir() else word.rpartition("/")[2]
    try:
        model = static(key, BaselineConfig(kind="static", name=word))
    except BenchError as error:
        other = isinstance(error, OtherPipeline)
        if not other and Path(word).expanduser().is_dir() and is_static(Path(word).expanduser()):
            raise
        try:
            model = sentence_transformer(key, BaselineConfig(kind="sentence_transformer", name=word))
        except BenchError:
            raise BenchError(f"{word}: {error}") from error
        return _as_contender(model, "sentence_transformer")
    found = _as_contender(model, "static")
    return replace(found, revisions=(*found.revisions, *_made_as(model)))


def _made_as(model: Model) -> tuple[str, ...]:
    """The revision under which a run that made a model has filed its scores."""
    assert model.folder is not None
    config = model.folder / "config.json"
    revision = json.loads(config.read_text(encoding="utf-8")).get("revision") if config.is_file() else None
    return () if revision is None else (str(revision),)
