"""Compose the settings of a run from overrides, as `python -m m2v_bench` does."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from m2v_bench.config.check import typed
from m2v_bench.config.job_names import register_resolver
from m2v_bench.config.messages import explain
from m2v_bench.config.renames import current_settings, current_words, describe
from m2v_bench.config.schema import ENUMERATED, Config, conf_dir
from m2v_bench.errors import BenchError, hydra_value


def register() -> None:
    """Register `Config` as Hydra's schema, the choices of groups without files, and the resolver for job names."""
    from hydra.core.config_store import ConfigStore

    schema = OmegaConf.structured(Config)
    OmegaConf.set_readonly(schema, False)  # a frozen dataclass is read-only by default and refuses overrides
    store = ConfigStore.instance()
    store.store(name="schema", node=schema)
    for group, names in ENUMERATED.items():
        for name in names:
            store.store(group=group, name=name, node={"name": name})
    register_resolver()


def translate(overrides: Sequence[str]) -> list[str]:
    """Return the overrides with current setting names; report old names on standard error."""
    current, notes = current_words(overrides)
    print(describe(notes), end="", file=sys.stderr)
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
    schema = OmegaConf.structured(Config)
    OmegaConf.set_readonly(schema, False)
    config = OmegaConf.merge(schema, _nested(current_settings(flat_file(folder / "config.yaml"))))
    assert isinstance(config, DictConfig)
    return typed(config)


def flat_file(path: Path) -> dict[str, Any]:
    """Return the settings in a config.yaml as {'pca_dims': 256, ...}; keep empty mappings as values."""
    container = OmegaConf.to_container(OmegaConf.load(path), resolve=True)
    assert isinstance(container, dict)
    return _flat(container, "")


def _flat(config: Mapping[Any, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for name, value in flat.items():
        *parents, last = name.split(".")
        target = nested
        for parent in parents:
            target = target.setdefault(parent, {})
        target[last] = value
    return nested


def take(arguments: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """Split off `name=VALUE`: return VALUE (the last one given, or None) and the other arguments."""
    values = [argument.partition("=")[2] for argument in arguments if argument.partition("=")[0] == name]
    return (values[-1] if values else None), [argument for argument in arguments if argument.partition("=")[0] != name]
