"""Compose the settings of a run from overrides, as `python -m m2v_bench` does."""

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from m2v_bench.config.check import typed
from m2v_bench.config.job_names import register_resolver
from m2v_bench.config.messages import explain
from m2v_bench.config.renames import current_config, current_overrides
from m2v_bench.config.schema import ENUMERATED, Config, conf_dir
from m2v_bench.distillation.distill_config import CHOICES
from m2v_bench.distillation.training.training_config import TRAINING_CHOICES
from m2v_bench.errors import BenchError, hydra_value


def register() -> None:
    """Register `Config` as Hydra's schema, groups without files, and the resolvers of conf/config.yaml."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="schema", node=_schema())
    for group, names in ENUMERATED.items():
        for name in names:
            store.store(group=group, name=name, node={"name": name})
    register_resolver()
    OmegaConf.register_new_resolver("choices", _choices, replace=True)


def _choices() -> str:
    """Return a line per setting that takes one of several names, for `--help`."""
    return "\n".join(f"{name}: {', '.join(names)}" for name, names in (CHOICES | TRAINING_CHOICES).items())


def _schema() -> DictConfig:
    schema = OmegaConf.structured(Config)
    assert isinstance(schema, DictConfig)
    for node in (schema, schema.training):  # a frozen dataclass is read-only by default and refuses overrides
        OmegaConf.set_readonly(node, False)
    return schema


def translate(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with current setting names; report old names on standard error."""
    current, notes = current_overrides(overrides)
    for note in notes:
        print(note, file=sys.stderr)
    return current


def compose(overrides: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose the settings with `overrides`, as `python -m m2v_bench` does.

    Args:
        overrides: overrides in Hydra's grammar, as on the command line.
        config_dir: a folder of additional config files, as for --config-dir.

    Raises:
        BenchError: for an override that cannot be parsed or names no setting, or a missing folder.
    """
    import hydra

    if config_dir is not None and not Path(config_dir).is_dir():
        raise BenchError(f"--config-dir {config_dir}: no such folder. It must hold suite/NAME.yaml or other groups.")
    search_path = []
    if config_dir is not None:
        search_path = [f"hydra.searchpath=[{hydra_value(f'file://{Path(config_dir).resolve()}')}]"]
    overrides = translate(overrides)
    register()
    try:
        with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
            return hydra.compose("config", overrides=[*search_path, *overrides])
    except Exception as error:
        message = explain(error, overrides)
        if message is None:
            raise
        raise BenchError(message) from error


def read_config(folder: Path) -> Config:
    """Read a job's settings from the config.yaml in its folder, also one written by an earlier version."""
    content = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"), resolve=True)
    assert isinstance(content, dict)
    config = OmegaConf.merge(_schema(), current_config(content))
    assert isinstance(config, DictConfig)
    return typed(config)


def take(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """Split off `name=VALUE`: return VALUE (the last one given, or None) and the other arguments."""
    values = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == name]
    return (values[-1] if values else None), [argument for argument in arguments if argument.partition("=")[0] != name]
