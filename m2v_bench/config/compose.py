"""The words of a command line -> the settings that `python -m m2v_bench` would run with."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from m2v_bench.config.job_names import register_resolver
from m2v_bench.config.messages import explain
from m2v_bench.config.schema import Config, conf_dir
from m2v_bench.errors import BenchError, hydra_value


def register() -> None:
    """Make `Config` the schema that Hydra checks every setting against."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="schema", node=Config)
    register_resolver()


def compose(words: Sequence[str], config_dir: str | None = None) -> DictConfig:
    """The composed settings, overridden by `words` in the grammar of `python -m m2v_bench`.

    Args:
        words: as on the command line of a run.
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
    register()
    try:
        with hydra.initialize_config_dir(str(conf_dir().resolve()), version_base="1.3"):
            return hydra.compose("config", overrides=[*searched, *words])
    except Exception as error:
        message = explain(error, words)
        if message is None:
            raise
        raise BenchError(message) from error


def take(words: Sequence[str], name: str) -> tuple[str | None, list[str]]:
    """The value of the word `name=VALUE`, which is no setting of a run, and the other words."""
    values = [word.partition("=")[2] for word in words if word.partition("=")[0] == name]
    return (values[-1] if values else None), [word for word in words if word.partition("=")[0] != name]
