"""Translate setting names of version 0.1 in overrides, config files and old records."""

from collections.abc import Iterable, Mapping
from typing import Any

from m2v_bench.errors import BenchError

SETTINGS = {
    "vocabulary.source": "vocabulary",
    "vocabulary.subwords": "subwords",
    "vocabulary.size": "vocabulary_size",
    "vocabulary.remove": "token_remove_pattern",
    "dialect.name": "dialect",
    "dialect.sequence": "sequence",
    "pooling.name": "pooling",
    "pca.dims": "pca_dims",
    "pca.solver": "pca_solver",
    "weighting.name": "weighting",
    "weighting.coefficient": "sif_coefficient",
    "weighting.corpus": "corpus",
    "weighting.column": "corpus_column",
    "quantization.dtype": "quantize_to",
    "quantization.vocabulary": "vocabulary_quantization",
}

# Former config groups whose files held one value -> (the setting that replaced it, {file: value}).
_GROUPS = {
    "pca": ("pca_dims", {"none": "none", "auto": "auto", "default": "256"}),
    "quantization": ("quantize_to", {"float32": "float32", "float16": "float16", "int8": "int8"}),
    "pooling": ("pooling", {"dialect": "null"}),
    "weighting": ("weighting", {"dialect": "null"}),
}
_SHARED_ROWS = "vocabulary_quantization=8192"  # set by the former file quantization/vocabulary.yaml


def current_overrides(arguments: Iterable[str]) -> tuple[list[str], list[str]]:
    """Translate command-line arguments to current setting names.

    Args:
        arguments: overrides and options; anything but an override is kept unchanged.

    Returns:
        The arguments, and one line for each changed name.

    Raises:
        BenchError: for a former choice that needs several settings.
    """
    current, notes = [], []
    for argument in arguments:
        translated = argument if argument.startswith("-") else _current_override(argument)
        if translated != argument:
            notes.append(f"{argument} is now spelled {translated}")
        current.append(translated)
    return current, notes


def _current_override(override: str) -> str:
    name, equals, value = override.partition("=")
    bare = name.lstrip("+~")
    if bare in SETTINGS:
        return f"{name[: len(name) - len(bare)]}{SETTINGS[bare]}{equals}{value}"
    if bare not in _GROUPS or not equals:
        return override
    setting, values = _GROUPS[bare]
    if bare == "quantization" and value == "vocabulary":
        return _SHARED_ROWS
    parts = value.split(",")
    if bare == "quantization" and "vocabulary" in parts:
        others = ",".join(part for part in parts if part != "vocabulary")
        raise BenchError(
            f"{override}: the number type and the number of shared rows are now two settings; write "
            f"quantize_to={others} and, in a separate sweep, {_SHARED_ROWS}"
        )
    if setting == bare and not set(parts) & set(values):
        return override
    return f"{setting}={','.join(values.get(part, part) for part in parts)}"


def current_config(config: Mapping[Any, Any]) -> dict[Any, Any]:
    """Translate nested settings, `{"pca": {"dims": 256}, ...}`, of a config.yaml."""
    current = dict(config)
    for former, name in SETTINGS.items():
        group, _, setting = former.partition(".")
        values = config.get(group)
        if isinstance(values, Mapping):  # a group of that name, not the setting that replaced it
            if current.get(group) is values:
                del current[group]
            if setting in values:
                current[name] = values[setting]
    return current


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Translate flat settings of old records and config files, `{"pca.dims": 256, ...}`."""
    current = {SETTINGS.get(name, name): value for name, value in settings.items()}
    if "sweep.axis" in current:
        current["sweep.axis"] = current_name(current["sweep.axis"])
    return current


def current_name(name: str) -> str:
    """Translate the name of one setting, such as the value of `sweep.axis`."""
    return SETTINGS.get(name, name)


def in_file(group: str) -> str | None:
    """Return what replaces a former group in a config file; None for any other name."""
    settings = [f"{old} is now {new}" for old, new in SETTINGS.items() if old.startswith(f"{group}.")]
    if not settings:
        return None
    return (
        f"{group} is no longer a group; set values at the top of the file, as in `pca_dims: 64`: {', '.join(settings)}"
    )
