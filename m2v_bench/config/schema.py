"""Settings of a run: type, default and description; the source of docs/configuration.md."""

from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from omegaconf import MISSING

from m2v_bench.distillation.distill_config import DistillConfig

AGGREGATIONS = ("micro", "macro")
LAUNCHER_NAMES = ("local", "joblib", "ray", "slurm")
TRACKER_NAMES = ("mlflow", "wandb", "none")
# Groups whose choices are plain names and need no files.
ENUMERATED = {"launcher": LAUNCHER_NAMES, "tracking": TRACKER_NAMES}


@dataclass
class BaseModelConfig:
    """The sentence transformer to distil.

    Attributes:
        name: name in the asset catalog (`m2v-bench fetch --list`), name on the hub, or folder.
        revision: commit on the hub; null takes the newest.
    """

    name: str = MISSING
    revision: str | None = None


@dataclass
class SuiteConfig:
    """Tasks that models are scored on: an mteb benchmark by name, a list of tasks, or both.

    Attributes:
        name: name of the suite, and of its table and figure.
        benchmark: an mteb benchmark, with its tasks, subsets and splits.
        tasks: task names, {name, subsets, splits}, or custom data as {name, type, data, columns}.
        languages: languages of the tasks in `tasks` that name no subsets; a subset in others as well is left out.
        splits: splits to keep of the tasks in `tasks` that name no splits; a task with none of these keeps all.
        types: task types to keep; empty keeps all.
        exclude: names of tasks to leave out.
        aggregation: average over task types: `micro` (mean over tasks) or `macro` (mean of the types' means).
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
    """A model to compare with; add yours with `'+baselines.NAME={kind: static, name: PATH}'`.

    Attributes:
        kind: `teacher`, `sentence_transformer`, `static`, `vectors`, `wordllama`, `bpemb`, `random` or `bm25`.
        name: folder, file, name in the asset catalog or name on the hub, depending on the kind.
        revision: commit on the hub; null takes the newest.
        label: name in tables; null takes the key.
        dims: dimensions of random vectors.
    """

    kind: str = MISSING
    name: str | None = None
    revision: str | None = None
    label: str | None = None
    dims: int | None = None


@dataclass
class TrackingConfig:
    """Experiment tracking, in addition to the files that every run writes.

    Attributes:
        name: `mlflow`, `wandb` or `none`.
        uri: MLflow tracking URI.
        experiment: MLflow experiment, or project of Weights & Biases.
        log_model: log the model itself.
    """

    name: str = MISSING
    uri: str = "sqlite:///mlflow.db"
    experiment: str = "m2v_bench"
    log_model: bool = True


@dataclass
class LauncherConfig:
    """Launcher of a sweep's jobs. A `local` job uses all threads.

    Attributes:
        name: `local` (one job after the other in this process), `joblib`, `ray` or `slurm`.
        workers: jobs at a time; null takes as many as processors and free memory allow, on a cluster all.
        threads: threads per job; null means 1.
        memory_gb: memory per job, in GB.
        address: address of a Ray cluster; null starts one on this machine.
        cluster: `slurm`, or `local` to try it out on this machine.
        partition: Slurm partition; null takes Slurm's default.
        minutes: time limit of a Slurm job.
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
    """Name and plot axis of a sweep.

    Attributes:
        name: name of the sweep's folder, table and figure.
        axis: setting on the x-axis of the plot; null takes the setting that differs between jobs, if just one does.
    """

    name: str = "sweep"
    axis: str | None = None


@dataclass(frozen=True)
class Config(DistillConfig):
    """All settings of a run: those of the distillation, the groups above, and these.

    Attributes:
        baselines: models scored beside the distilled one, by key. Choose them by file: `'baseline=[teacher,bm25]'`, or
            `baseline=[]` for none; change one with `baselines.NAME.label=VALUE`.
        hub_dir: folder of dataset repositories as `<org>/<name>/`; null loads stock tasks from the model hub.
        data_dir: folder of the WordSim, PEARL and classification sets; null loads those with a dataset repository from
            hub_dir or the hub.
        results_dir: folder of score files, speed records, tables and figures.
        device: torch device of transformers; `auto` takes a GPU if there is one. Changes scores by rounding only.
        batch_size: texts per batch of a transformer. Changes scores by rounding only.
        samples: keep the models' output on every sample, small files that `m2v-bench compare` reads.
        dry_run: show what would be downloaded and computed, what is cached, and the time and disk space needed; compute
            nothing.
        rerun: also run the finished jobs of a sweep again; caches and score files are still read.
        fail_fast: start no further job of a sweep after one has failed.
        debug: show tracebacks, and stop at the first task that raises.
    """

    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    suite: SuiteConfig = field(default_factory=SuiteConfig)
    # key -> BaselineConfig; Hydra cannot add to a dict of dataclasses, so `check.typed` converts the values
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
        """The settings that determine the numbers of the distilled model."""
        return DistillConfig(**{setting.name: getattr(self, setting.name) for setting in fields(DistillConfig)})


def conf_dir() -> Path:
    """Return the folder of the YAML files: inside the installed package, or beside it in a checkout."""
    inside = Path(__file__).parents[1] / "conf"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "conf"


def is_setting(name: str) -> bool:
    """Return whether a setting has this name, e.g. `pca_dims` or `baselines.NAME.kind`."""
    return name in settings() or name in settings_of_baseline(name)


def settings_of_baseline(name: str) -> list[str]:
    """Return all settings of the baseline in `name`, e.g. of NAME in `baselines.NAME.kind`; empty if there is none."""
    top, _, rest = name.partition(".")
    key = f"{top}.{rest.partition('.')[0]}"
    return [key, *_fields(BaselineConfig, f"{key}.")] if top == "baselines" and rest else []


def settings() -> list[str]:
    """Return the names of all settings."""
    return _fields(Config, "")


def groups() -> list[str]:
    """Return the names of all config groups."""
    return sorted([*ENUMERATED, *(path.name for path in conf_dir().iterdir() if path.is_dir())])


def _fields(cls: type, prefix: str) -> list[str]:
    names = []
    for setting in fields(cls):
        if isinstance(setting.type, type) and is_dataclass(setting.type):
            names += _fields(setting.type, f"{prefix}{setting.name}.")
        else:
            names.append(f"{prefix}{setting.name}")
    return names
