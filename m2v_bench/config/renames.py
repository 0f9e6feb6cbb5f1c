"""Names of settings in version 0.1, which keep working: in words of the command line, config files and old records."""

from collections.abc import Iterable, Mapping, Sequence
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

# Groups that were files of one value, and the settings that took their place.
_GROUPS = {
    "pca": ("pca_dims", {"none": "none", "auto": "auto", "default": "256"}),
    "quantization": ("quantize_to", {"float32": "float32", "float16": "float16", "int8": "int8"}),
    "pooling": ("pooling", {"dialect": "null"}),
    "weighting": ("weighting", {"dialect": "null"}),
}
_SHARED_ROWS = "vocabulary_quantization=8192"  # what the file quantization=vocabulary set


def current_words(words: Iterable[str]) -> tuple[list[str], list[str]]:
    """Translate the words of a command line to the names of today.

    Args:
        words: overrides and options; what is no override stays as it is.

    Returns:
        The words, and one line for each name that has changed.

    Raises:
        BenchError: for a choice that has become several settings and cannot be translated.
    """
    current, notes = [], []
    for word in words:
        translated = word if word.startswith("-") else _current_word(word)
        if translated != word:
            notes.append(f"{word} is now spelled {translated}")
        current.append(translated)
    return current, notes


def _current_word(word: str) -> str:
    name, equals, value = word.partition("=")
    bare = name.lstrip("+~")
    if bare in SETTINGS:
        return f"{name[: len(name) - len(bare)]}{SETTINGS[bare]}{equals}{value}"
    if bare not in _GROUPS or not equals:
        return word
    setting, values = _GROUPS[bare]
    if bare == "quantization" and value == "vocabulary":
        return _SHARED_ROWS
    parts = value.split(",")
    if bare == "quantization" and "vocabulary" in parts:
        others = ",".join(part for part in parts if part != "vocabulary")
        raise BenchError(
            f"{word}: a number type and the number of shared rows are two settings; write "
            f"quantize_to={others} and, in a sweep of its own, {_SHARED_ROWS}"
        )
    if setting == bare and not set(parts) & set(values):
        return word
    return f"{setting}={','.join(values.get(part, part) for part in parts)}"


def current_params(params: Mapping[str, str]) -> dict[str, str]:
    """Translate the axes of a sweep, as its config file has them."""
    words, _ = current_words(f"{name}={values}" for name, values in params.items())
    return dict(word.split("=", 1) for word in words)


def current_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Translate flat settings, `{"pca.dims": 256, ...}`, as old records and config files have them."""
    current = {SETTINGS.get(name, name): value for name, value in settings.items()}
    if "sweep.axis" in current:
        current["sweep.axis"] = current_name(current["sweep.axis"])
    return current


def current_name(name: str) -> str:
    """Translate the name of a setting, as `sweep.axis` holds one."""
    return SETTINGS.get(name, name)


def in_file(group: str) -> str | None:
    """Say what to write into a config file in the place of a former group; None for a name that was none."""
    settings = [f"{old} is now {new}" for old, new in SETTINGS.items() if old.startswith(f"{group}.")]
    if not settings:
        return None
    return (
        f"{group} is no longer a group; set values at the top of the file, as in `pca_dims: 64`: {', '.join(settings)}"
    )


def describe(notes: Sequence[str]) -> str:
    """Lines for standard error; nothing when no name has changed."""
    return "".join(f"{note}\n" for note in notes)
