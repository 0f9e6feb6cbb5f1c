"""Settings of a run: type, default and description. docs/configuration.md is made from this."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from m2v_bench.distillation.distill_config import DistillConfig

AGGREGATIONS = ("micro", "macro")
LAUNCHER_NAMES = ("local", "joblib", "ray", "slurm")
TRACKER_NAMES = ("mlflow", "none")
# Groups whose choices are names without further settings, and so have no files.
ENUMERATED = {"launcher": LAUNCHER_NAMES, "tracking": TRACKER_NAMES}


@dataclass
class BaseModelConfig:
    """The sentence transformer to distil.

    Attributes:
        name: a name of the asset catalog (`m2v-bench fetch --list`), a name on the hub, or a folder.
        revision: the commit to take from the hub; null takes the newest.
    """

    name: str = MISSING
    revision: str | None = None


@dataclass
class SuiteConfig:
    """What models are scored on: an mteb benchmark by name, a list of tasks, or both.

    Attributes:
        name: of the suite, which is that of its table and figure.
        benchmark: an mteb benchmark, whose tasks, subsets and splits are taken as they are.
        tasks: names, {name, subsets, splits}, or own data as {name, type, data, columns}.
        languages: of multilingual tasks in `tasks` without subsets, the languages kept.
        splits: of tasks in `tasks` without splits, the splits kept; where a task has none of them, it keeps its own.
        types: the columns kept; all when empty.
        exclude: names of tasks to leave out.
        aggregation: how averages over task types are made: `micro`, over tasks, or `macro`, over the types' means.
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
    """A model to compare with; one of your own is `'+baselines.NAME={kind: static, name: PATH}'`.

    Attributes:
        kind: `teacher`, `sentence_transformer`, `static`, `vectors`, `wordllama`, `bpemb`, `random` or `bm25`.
        name: a folder, a file, a name of the asset catalog or a name on the hub, as the kind takes them.
        revision: the commit to take from the hub; null takes the newest.
        label: what tables call it; null: its key.
        dims: dimensions of random vectors.
    """

    kind: str = MISSING
    name: str | None = None
    revision: str | None = None
    label: str | None = None
    dims: int | None = None


@dataclass
class TrackingConfig:
    """Where runs are logged, beside the files that are always written.

    Attributes:
        name: `mlflow` or `none`.
        uri: any MLflow tracking URI.
        experiment: the MLflow experiment.
        log_model: whether the model itself is logged.
    """

    name: str = MISSING
    uri: str = "sqlite:///mlflow.db"
    experiment: str = "m2v_bench"
    log_model: bool = True


@dataclass
class LauncherConfig:
    """Where the jobs of a sweep run. A `local` job has all threads.

    Attributes:
        name: `local` (one after the other in this process), `joblib`, `ray` or `slurm`.
        workers: jobs at once; null takes as many as processors and free memory allow, and on a cluster all.
        threads: threads of each job; null: 1.
        memory_gb: room of each job.
        address: of a Ray cluster; null starts one on this machine.
        cluster: `slurm`, or `local` to try it out on this machine.
        partition: of Slurm; null takes its default.
        minutes: limit of a Slurm job.
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
    """What a sweep is called and plotted along.

    Attributes:
        name: of its folder, table and figure.
        axis: the setting that its plot runs along; null: the one setting that differs, if it is one.
    """

    name: str = "sweep"
    axis: str | None = None


@dataclass(frozen=True)
class Config(DistillConfig):
    """All settings of a run: those of the distillation, of the groups above, and these.

    Attributes:
        baselines: models scored beside the distilled one, by key; chosen by their files, `'baseline=[teacher,bm25]'`,
            `baseline=[]` for none. `baselines.NAME.label=VALUE` changes one of them.
        hub_dir: folder of dataset repositories as `<org>/<name>/`; null loads stock tasks from the model hub.
        data_dir: folder of the WordSim, PEARL and classification sets; null loads those that have a dataset repository
            from there.
        results_dir: folder of score files, speed records, tables and figures.
        device: torch device of transformers; `auto` takes a GPU when there is one. Changes a score by rounding.
        batch_size: texts per batch of a transformer. Changes a score by rounding at most.
        samples: keep the models' output on every sample, small files that `m2v-bench compare` reads.
        dry_run: show what would be computed, what is cached, and the time and disk it takes; compute nothing.
        rerun: also run the finished jobs of a sweep again; caches and score files are still read.
        fail_fast: start no further job of a sweep after one has failed.
        debug: show tracebacks, and stop at the first task that raises.
    """

    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    # BaselineConfig by name; Hydra cannot add to a dict of dataclasses, so `check.typed` gives the values their type
    baselines: dict[str, Any] = field(default_factory=dict)
    hub_dir: str | None = None
    data_dir: str | None = None
    results_dir: str = "results"
    device: str = "auto"
    batch_size: int = 32
    samples: bool = True
    dry_run: bool = False
    rerun: bool = False
    fail_fast: bool = False
    debug: bool = False
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    launcher: LauncherConfig = field(default_factory=LauncherConfig)
    sweep: SweepConfig = field(default_factory=SweepConfig)

    @property
    def distillation(self) -> DistillConfig:
        """The settings that decide the numbers of the distilled model."""
        return DistillConfig(**{each.name: getattr(self, each.name) for each in fields(DistillConfig)})


def conf_dir() -> Path:
    """The folder of the YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def is_setting(name: str) -> bool:
    """Whether there is a setting of this name, as in `pca_dims` or `baselines.NAME.kind`."""
    return name in settings() or name in settings_of_baseline(name)


def settings_of_baseline(name: str) -> list[str]:
    """The settings of the baseline that `name` is a setting of, whatever the baseline is called."""
    top, _, rest = name.partition(".")
    key = f"{top}.{rest.partition('.')[0]}"
    return [key, *_fields(BaselineConfig, f"{key}.")] if top == "baselines" and rest else []


def settings() -> list[str]:
    """The names of all settings, as in `pca_dims`."""
    return _fields(Config, "")


def groups() -> list[str]:
    """The names of all config groups."""
    return sorted([*ENUMERATED, *(path.name for path in conf_dir().iterdir() if path.is_dir())])


def _fields(cls: type, prefix: str) -> list[str]:
    names = []
    for each in fields(cls):
        if isinstance(each.type, type) and is_dataclass(each.type):
            names += _fields(each.type, f"{prefix}{each.name}.")
        else:
            names.append(f"{prefix}{each.name}")
    return names
