"""Every setting, its type and its default; what types cannot say is checked in `check`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from m2v_bench.analysis.signature import AGGREGATIONS
from m2v_bench.distillation.dialects import get_dialect
from m2v_bench.distillation.reduction import parse_dims
from m2v_bench.errors import BenchError, check_seed, did_you_mean
from m2v_bench.jobs import register_resolver


@dataclass
class BaseModelConfig:
    """The sentence transformer to distil: a catalog name, a name on the hub, or a folder.

    `revision` is the commit to take from the hub; null takes the newest.
    """

    name: str = MISSING
    revision: str | None = None


@dataclass
class VocabularyConfig:
    """Where the tokens come from: `model`, `glove`, `glove_subword`, or `file:PATH`, one word per line.

    `subwords` keeps the base model's own beside the words (null: but for glove); `size` cuts the list of words;
    tokens whose beginning matches `remove` are dropped.
    """

    source: str = MISSING
    subwords: bool | None = None
    size: int | None = None
    remove: str | None = None


@dataclass
class DialectConfig:
    """Which releases of Model2Vec to compute as; `sequence` (template, swapped) is the dialect's when null."""

    name: str = MISSING
    sequence: str | None = None


@dataclass
class PoolingConfig:
    """Pooling of a token's sequence; null means as the dialect says."""

    name: str | None = None


@dataclass
class PcaConfig:
    """`none`, `auto` (rotate only), a number of dimensions, or a share of the variance.

    `solver` (full, sklearn) is the dialect's when null.
    """

    dims: Any = 256
    solver: str | None = None


@dataclass
class WeightingConfig:
    """Weighting of the token rows, null means as the dialect says; `coefficient` is SIF's a.

    Weightings that count tokens do so in `corpus`: a .txt file with one document a line, or texts in `column` of
    a .csv, .tsv, .jsonl or .parquet file, or of a dataset (a folder, or a name on the hub; NAME:SPLIT).
    """

    name: str | None = None
    coefficient: float = 1e-4
    corpus: str | None = None
    column: str = "text"


@dataclass
class QuantizationConfig:
    """Number type of the stored rows, and how many rows k-means leaves (null: a row per token)."""

    dtype: str = "float16"
    vocabulary: int | None = None


@dataclass
class SuiteConfig:
    """What models are scored on: an mteb benchmark by name, a list of tasks, or both.

    A task is a name, {name, subsets, splits}, or own data as {name, type, data, columns}. Without subsets, a
    multilingual task keeps those of `languages`; without splits, it keeps those of `splits`, or its own where it has
    none of them. `types` keeps the columns named, `exclude` leaves tasks out. `aggregation` is how averages over task
    types are made: `micro`, over tasks, or `macro`, over the types' means.
    """

    name: str = MISSING
    benchmark: str | None = None
    tasks: list[Any] = field(default_factory=list)
    languages: list[str] = field(default_factory=lambda: ["eng"])
    splits: list[str] = field(default_factory=lambda: ["test"])
    types: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    aggregation: str = "micro"


@dataclass
class BaselineConfig:
    """A model to compare with.

    `kind` is one of those in `m2v_bench/baselines/__init__.py`; `name` a folder, a file, a catalog name or a name on
    the hub, as the kind takes them; `revision` the commit to take from the hub; `label` what tables call it (null: its
    key); `dims` the dimensions of random vectors.
    """

    kind: str = MISSING
    name: str | None = None
    revision: str | None = None
    label: str | None = None
    dims: int | None = None


@dataclass
class TrackingConfig:
    """Where runs are logged: `mlflow` or `none`; uri is any MLflow tracking URI."""

    name: str = MISSING
    uri: str = "sqlite:///mlflow.db"
    experiment: str = "m2v_bench"
    log_model: bool = True


@dataclass
class LauncherConfig:
    """Where the jobs of a sweep run: `local`, one after the other in this process; `joblib`; `ray`; `slurm`.

    `workers` jobs run at once, each with `threads` threads (null: 1) and room for `memory_gb`; null takes as many as
    processors and free memory allow, and on a cluster all. A local job has all threads. `address` is that of a Ray
    cluster, null starts one on this machine. `cluster` (slurm, local), `partition` and `minutes`, a job's limit, are
    Slurm's.
    """

    name: str = "local"
    workers: int | None = None
    threads: int | None = None
    memory_gb: float = 3.0
    address: str | None = None
    cluster: str = "slurm"
    partition: str | None = None
    minutes: int = 720


@dataclass
class SweepConfig:
    """The sweep's name, which is that of its folder, table and figure, and the setting that its plot runs along.

    Without an `axis` the plot runs along the one setting that differs, if it is one.
    """

    name: str = "sweep"
    axis: str | None = None


@dataclass
class Config:
    """All settings of a run."""

    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    dialect: DialectConfig = field(default_factory=DialectConfig)
    pooling: PoolingConfig = field(default_factory=PoolingConfig)
    pca: PcaConfig = field(default_factory=PcaConfig)
    weighting: WeightingConfig = field(default_factory=WeightingConfig)
    quantization: QuantizationConfig = field(default_factory=QuantizationConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)
    embeddings: str = "output"
    precision: str = "fp32"
    # BaselineConfig by name; Hydra cannot add to a dict of dataclasses, so `check` gives the values their type
    baselines: dict[str, Any] = field(default_factory=dict)
    hub_dir: str | None = None
    data_dir: str | None = None
    results_dir: str = MISSING
    seed: int = 42
    device: str = "auto"
    batch_size: int = 32
    samples: bool = True
    dry_run: bool = False
    rerun: bool = False
    fail_fast: bool = False
    debug: bool = False


def register() -> None:
    """Make `Config` the schema that Hydra checks every setting against."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    register_resolver()


def conf_dir() -> Path:
    """The folder of the YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parent / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[1] / "conf"


def typed(config: DictConfig) -> Config:
    """The settings as dataclasses.

    Raises:
        BenchError: for settings that do not exist.
    """
    from m2v_bench.baselines import check_baselines
    from m2v_bench.messages import is_setting, unknown_settings

    # `+name=value` on the command line adds what the schema does not have
    if unknown := [name for name in flat_settings(config) if not is_setting(name)]:
        raise BenchError(unknown_settings(unknown))
    checked = OmegaConf.to_object(config)
    assert isinstance(checked, Config)
    checked.baselines = {key: _baseline(key, value) for key, value in checked.baselines.items()}
    check_baselines(checked.baselines)
    if checked.suite.aggregation not in AGGREGATIONS:
        raise BenchError(f"suite.aggregation={checked.suite.aggregation}: unknown; allowed: {', '.join(AGGREGATIONS)}")
    return checked


def check(config: DictConfig) -> Config:
    """The settings as dataclasses, every value checked that can be checked before anything is computed.

    Raises:
        BenchError: naming the setting, its value and what is allowed.
    """

    checked = typed(config)
    get_dialect(checked.dialect.name)
    parse_dims(checked.pca.dims)
    if checked.tracking.name not in ("mlflow", "none"):
        raise BenchError(f"tracking.name={checked.tracking.name}: unknown; allowed: mlflow, none")
    if not re.fullmatch(r"[\w.-]*\w[\w.-]*", checked.sweep.name):
        raise BenchError(f"sweep.name={checked.sweep.name}: is the name of a folder; allowed: letters, digits, _ . -")
    _check_axis(checked.sweep.axis)
    _check_launcher(checked.launcher)
    if checked.batch_size < 1:
        raise BenchError(f"batch_size={checked.batch_size}: must be at least 1")
    check_seed(checked.seed)
    _check_device(checked.device)
    _check_writable(checked.results_dir)
    return checked


def _baseline(key: str, value: Any) -> BaselineConfig:
    """The settings of one baseline, each of its type."""
    setting = f"baselines.{key}"
    if not isinstance(value, Mapping):
        raise BenchError(f"{setting}={value}: must be a mapping, for example '+{setting}={{kind: static, name: PATH}}'")
    typed = OmegaConf.structured(BaselineConfig)
    for name, each in value.items():
        try:
            typed[name] = each
        except OmegaConfBaseException as error:
            raise BenchError(f"{setting}.{name}={each}: {str(error).splitlines()[0]}") from error
    if OmegaConf.is_missing(typed, "kind"):
        raise BenchError(f"{setting}.kind is not set; it says what kind of model {key} is")
    made = OmegaConf.to_object(typed)
    assert isinstance(made, BaselineConfig)
    return made


def flat_settings(config: DictConfig) -> dict[str, Any]:
    """The settings as {'pca.dims': 256, ...}, interpolations resolved."""
    container = OmegaConf.to_container(config, resolve=True)
    assert isinstance(container, dict)
    return _flatten(container, "")


def _flatten(config: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _check_axis(axis: str | None) -> None:
    from m2v_bench.messages import is_setting, settings

    if axis is not None and not is_setting(axis):
        near = did_you_mean(axis, settings())
        raise BenchError(f"sweep.axis={axis}: no such setting.{near} Name one that the jobs differ in, as pca.dims")


# Settings of a launcher that the others would pass over.
_LAUNCHERS_OF = {
    "workers": ("joblib", "ray", "slurm"),
    "threads": ("joblib", "ray", "slurm"),
    "address": ("ray",),
    "partition": ("slurm",),
}


def _check_launcher(launcher: LauncherConfig) -> None:
    for name, allowed in (("name", ("local", "joblib", "ray", "slurm")), ("cluster", ("slurm", "local"))):
        if (value := getattr(launcher, name)) not in allowed:
            raise BenchError(f"launcher.{name}={value}: unknown; allowed: {', '.join(allowed)}")
    for name in ("workers", "threads", "memory_gb", "minutes"):
        if (value := getattr(launcher, name)) is not None and value <= 0:
            raise BenchError(f"launcher.{name}={value}: must be above 0")
    for name, names in _LAUNCHERS_OF.items():
        if (value := getattr(launcher, name)) is not None and launcher.name not in names:
            raise BenchError(
                f"launcher.{name}={value}: launcher={launcher.name} has no use for it; "
                f"set launcher={' or '.join(names)}, or leave launcher.{name} out"
            )


def _check_device(device: str) -> None:
    if device in ("cpu", "auto"):
        return
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise BenchError(f"device={device}: torch cannot use it here ({error}); allowed: auto, cpu") from error


def _check_writable(results_dir: str) -> None:
    import tempfile

    folder = Path(results_dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise BenchError(
            f"results_dir={results_dir}: cannot be written ({error.strerror}). Set results_dir=FOLDER to one that can."
        ) from error
