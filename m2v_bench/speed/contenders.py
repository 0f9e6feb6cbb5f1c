"""Models and libraries that the arguments of `m2v-bench speed` name."""

import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from m2v_bench.assets.fetch import catalog
from m2v_bench.config.check import check
from m2v_bench.config.compose import compose
from m2v_bench.config.schema import BaselineConfig, Config, conf_dir
from m2v_bench.distillation.distill import run_recipe
from m2v_bench.errors import BenchError, did_you_mean
from m2v_bench.inference.files import OtherPipeline
from m2v_bench.models import Model, base_of, load_baselines, recipe_of
from m2v_bench.models.sentence_transformer import is_static, sentence_transformer
from m2v_bench.models.static import distilled, static
from m2v_bench.speed.loaders import Contender
from m2v_bench.system.environment import version_of
from m2v_bench.system.packages import EXTRAS

# library -> loader that runs our static models with it
PEERS = {"model2vec": "model2vec", "sentence-transformers": "sentence_transformer"}
_BY_SENTENCE_TRANSFORMERS = ("sentence_transformer", "vectors")


def contenders(names: Sequence[str], scratch: Path, *, config_dir: str | None = None) -> list[Contender]:
    """Find the models to measure.

    Args:
        names: folders, names on the hub or in the asset catalog, baselines, or `LIBRARY:FOLDER` for a static model run
            by that library; empty means the default distilled model, run by us and by each of `PEERS`, and its
            baselines.
        scratch: an empty folder for the distilled model; it must outlive the contenders.
        config_dir: a folder of additional config files.

    Raises:
        BenchError: naming the unknown model or missing package.
    """
    if not names:
        return _default(scratch, config_dir)
    models: list[Contender] = []
    for name in dict.fromkeys(names):
        library, _, folder = name.partition(":")
        models += [_peer(library, folder, config_dir)] if library in PEERS and folder else _find(name, config_dir)
    labels = [model.label for model in models]
    return [
        replace(model, label=f"{model.label} ({model.source})") if labels.count(model.label) > 1 else model
        for model in models
    ]


def _default(scratch: Path, config_dir: str | None) -> list[Contender]:
    settings = _settings([], config_dir)
    recipe = recipe_of(settings)
    folder = scratch / "model"
    model = run_recipe(recipe, device="cpu").model
    model.save_pretrained(folder, name=recipe.label)
    ours = _as_contender(distilled(model, folder, recipe), "static")
    baselines = _baselines(settings, load_baselines(settings.baselines, recipe.base))
    return [ours, *(_run_by(library, ours) for library in PEERS), *baselines]


def _settings(overrides: list[str], config_dir: str | None) -> Config:
    return check(compose(overrides, config_dir))


def _baselines(settings: Config, models: Sequence[Model]) -> list[Contender]:
    contenders = []
    for (key, config), model in zip(settings.baselines.items(), models, strict=True):
        if model.kind == "lexical":
            raise BenchError(f"{key}: is lexical and embeds no texts; leave it out")
        loader = {"teacher": "sentence_transformer"}.get(config.kind, config.kind)
        if model.folder is None:
            contenders.append(_as_contender(model, "baseline", json.dumps({"key": key, **asdict(config)})))
        else:
            contenders.append(_as_contender(model, loader))
    return contenders


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


def _run_by(library: str, ours: Contender) -> Contender:
    """Return a contender that runs our static model with another library."""
    absent = None
    if importlib.util.find_spec(library.replace("-", "_")) is None:
        absent = f"{library} is not installed: pip install {' '.join(EXTRAS['peers'])}"
    return replace(
        ours,
        label=f"{ours.label}, by {library}",
        loader=PEERS[library],
        library=_with_version(library),
        peer=True,
        absent=absent,
    )


def _peer(library: str, name: str, config_dir: str | None) -> Contender:
    (ours,) = _find(name, config_dir)
    if ours.loader != "static":
        raise BenchError(
            f"{library}:{name}: {name} is not a static model that {library} can read; name the folder of a static model"
        )
    peer = _run_by(library, ours)
    if peer.absent:
        raise BenchError(f"{library}:{name}: {peer.absent}, or install m2v-bench with its extra `peers`")
    return peer


def _find(name: str, config_dir: str | None) -> list[Contender]:
    if Path(name).expanduser().is_dir():
        return [_of_folder(name)]
    if name in _baseline_names(config_dir):
        settings = _settings([f"baseline=[{name}]"], config_dir)
        return _baselines(settings, load_baselines(settings.baselines, base_of(settings)))
    if name in catalog() and catalog()[name].kind == "model":
        model = sentence_transformer(name, BaselineConfig(kind="sentence_transformer", name=name))
        return [_as_contender(model, "sentence_transformer")]
    if name.count("/") == 1 and not name.startswith(("/", ".", "~")):
        return [_of_folder(name)]
    known = [*_baseline_names(config_dir), *(asset.name for asset in catalog().values() if asset.kind == "model")]
    raise BenchError(
        f"{name}: no such model.{did_you_mean(name, known)} Allowed: the folder of a model, a name on the model hub "
        f"(org/name), {' or '.join(f'{library}:FOLDER' for library in PEERS)}, or one of "
        f"{', '.join(dict.fromkeys(known))}"
    )


def _baseline_names(config_dir: str | None) -> list[str]:
    folders = [conf_dir(), *([] if config_dir is None else [Path(config_dir)])]
    return sorted({path.stem for folder in folders for path in (folder / "baseline").glob("*.yaml")})


def _of_folder(name: str) -> Contender:
    """Return the contender of a folder or hub name: a static model, else one of sentence-transformers."""
    key = Path(name).expanduser().resolve().name if Path(name).expanduser().is_dir() else name.rpartition("/")[2]
    try:
        model = static(key, BaselineConfig(kind="static", name=name))
    except BenchError as error:
        other = isinstance(error, OtherPipeline)
        if not other and Path(name).expanduser().is_dir() and is_static(Path(name).expanduser()):
            raise
        try:
            model = sentence_transformer(key, BaselineConfig(kind="sentence_transformer", name=name))
        except BenchError:
            raise BenchError(f"{name}: {error}") from error
        return _as_contender(model, "sentence_transformer")
    contender = _as_contender(model, "static")
    return replace(contender, revisions=(*contender.revisions, *_scored_revision(model)))


def _scored_revision(model: Model) -> tuple[str, ...]:
    """Return the revision under which the run that distilled the model stores its scores, if any."""
    assert model.folder is not None
    config = model.folder / "config.json"
    revision = json.loads(config.read_text(encoding="utf-8")).get("revision") if config.is_file() else None
    return () if revision is None else (str(revision),)
