"""Compose the settings of a run from the words of a command line, as `python -m m2v_bench` does."""

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
    """Make `Config` the schema that Hydra checks every setting against, and its enumerations choices of groups."""
    from hydra.core.config_store import ConfigStore

    schema = OmegaConf.structured(Config)
    OmegaConf.set_readonly(schema, False)  # a frozen dataclass would not take an override
    store = ConfigStore.instance()
    store.store(name="schema", node=schema)
    for group, names in ENUMERATED.items():
        for name in names:
            store.store(group=group, name=name, node={"name": name})
    register_resolver()


def translate(words: Sequence[str]) -> list[str]:
    """The words with settings called by the names of today; former names are reported on standard error."""
    current, notes = current_words(words)
    print(describe(notes), end="", file=sys.stderr)
    return current


def compose(words: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """Compose the settings, overridden by `words` in the grammar of `python -m m2v_bench`.

    Args:
        words: overrides, as on the command line of a run.
        config_dir: a folder of further config files, as a run's --config-dir.

    Raises:
        BenchError: for a word that cannot be read or names no setting, or a folder that is none.
    """
    import hydra

    if config_dir is not None and not Path(config_dir).is_dir():
        raise BenchError(f"--config-dir {config_dir}: no such folder. It must hold suite/NAME.yaml and the like.")
    searched = []
    if config_dir is not None:
        searched = [f"hydra.searchpath=[{hydra_value(f'file://{Path(config_dir).resolve()}')}]"]
    words = translate(words)
    register()
    try:
        with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
            return hydra.compose("config", overrides=[*searched, *words])
    except Exception as error:
        message = explain(error, words)
        if message is None:
            raise
        raise BenchError(message) from error


def read_config(folder: Path) -> Config:
    """Read the settings of a job from the config.yaml in its folder, which an earlier version may have written."""
    schema = OmegaConf.structured(Config)
    OmegaConf.set_readonly(schema, False)
    config = OmegaConf.merge(schema, _nested(current_settings(flat_file(folder / "config.yaml"))))
    assert isinstance(config, DictConfig)
    return typed(config)


def flat_file(path: Path) -> dict[str, Any]:
    """The settings in a config.yaml as {'pca_dims': 256, ...}; an empty mapping stays one."""
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
        *above, last = name.split(".")
        place = nested
        for part in above:
            place = place.setdefault(part, {})
        place[last] = value
    return nested


def take(words: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """The value of the word `name=VALUE`, which is no setting of a run, and the other words."""
    values = [word.partition("=")[2] for word in words if word.partition("=")[0] == name]
    return (values[-1] if values else None), [word for word in words if word.partition("=")[0] != name]
