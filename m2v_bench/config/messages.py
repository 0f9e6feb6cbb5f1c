"""Translate Hydra and OS errors into messages about our settings."""

import errno
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf.errors import OmegaConfBaseException

from m2v_bench.config.renames import in_file
from m2v_bench.config.schema import conf_dir, groups, is_setting, settings, settings_of_baseline
from m2v_bench.errors import BenchError, did_you_mean, override

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_COMPOSITE = ("suite", "baseline", "baselines", "vocabulary")  # settings that take lists or mappings
_HELP = "`python -m m2v_bench --help` lists all settings."


def explain(error: BaseException, argv: Sequence[str]) -> str | None:  # noqa: PLR0911 - one per kind of error
    """Return the message for a mistake in the input, or None for a bug in this program.

    Args:
        error: the exception.
        argv: the arguments of the command line.
    """
    if isinstance(error, BenchError):
        return str(error)
    if isinstance(error, MissingConfigException):
        return _missing_file(error)
    if isinstance(error, OverrideParseException):
        return _unparsable(str(error.override))
    if isinstance(error, ConfigCompositionException):
        return _composition(error, argv)
    if isinstance(error, HydraException | OmegaConfBaseException):
        return str(error).splitlines()[0]
    if isinstance(error, ValueError) and str(error).startswith("Config group override must be"):
        return "a group takes the name of one or several files: 'baseline=[teacher,bm25]', or baseline=[] for none"
    if isinstance(error, OSError):
        return _system(error, argv)
    return None


def defect(error: BaseException) -> str:
    """Return the message for an unexpected error: its type, its place in this package and its reason."""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(Path(__file__).parents[1])]
    at = f" in {Path(ours[-1].filename).name}, line {ours[-1].lineno}" if ours else ""
    reason = (str(error).strip().splitlines() or [""])[0]
    return (
        f"{type(error).__name__}{at}: {reason}\n"
        "This is a bug in m2v_bench or a library it calls; debug=true shows the traceback, which a bug report needs."
    )


def _unparsable(argument: str) -> str:
    """Return the message for an override that Hydra cannot parse, with a spelling that it can."""
    name, equals, value = argument.partition("=")
    if not equals or not re.fullmatch(r"[+~]*[\w./@-]+", name):
        return f"cannot read `{argument}` on the command line; a setting is written NAME=VALUE. {_HELP}"
    if value[:1] in ("[", "{") and name.lstrip("+~").split(".")[0] in _COMPOSITE:
        return (
            f"cannot read `{argument}` on the command line; quote the whole override for the shell, and names with "
            "characters other than letters and digits for Hydra: "
            """'suite.tasks=[STS12]', 'suite.tasks=[{name: "A, B"}]'"""
        )
    bare = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    if bare.startswith("~"):  # the shell does not expand it inside Hydra's quotes
        bare = os.path.expanduser(bare)  # noqa: PTH111 - does not raise for an unknown user
    return f"cannot read `{argument}` on the command line; quote the value for Hydra as well: {override(name, bare)}"


def unknown_settings(names: Sequence[str]) -> str:
    """Return the message for settings that do not exist."""
    known = [*settings(), *groups()]
    return "\n".join(
        f"{name}: no such setting.{did_you_mean(name, [*known, *settings_of_baseline(name)])} {_HELP}" for name in names
    )


def _system(error: OSError, argv: Sequence[str]) -> str:
    reason = f"{error.strerror or error} ({error.filename})" if error.filename else str(error.strerror or error)
    folder = _value(argv, "results_dir", "results")
    # an error without a file name comes from writing results: the cache's writers raise BenchError
    unnamed = error.filename is None and error.errno in _NO_ROOM
    if unnamed or (error.filename and Path(str(error.filename)).resolve().is_relative_to(Path(folder).resolve())):
        return f"results_dir={folder}: {reason}. Set results_dir=FOLDER to a writable folder that has room."
    return f"{reason}. debug=true shows where."


def _missing_file(error: MissingConfigException) -> str:
    group, _, name = (error.missing_cfg_file or "").rpartition("/")
    # Hydra lists the options of a single-choice group, not of a list like `baseline`
    options = [str(option) for option in error.options or []] or _files(group)
    allowed = f" Allowed: {', '.join(options)}" if options else ""
    return f"{group}={name}: no such choice.{did_you_mean(name, options)}{allowed}"


def _files(group: str) -> list[str]:
    return sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))


def _composition(error: ConfigCompositionException, argv: Sequence[str]) -> str:  # noqa: PLR0911 - one per kind
    text = str(error)
    if unknown := [name for name in _override_names(argv) if not is_setting(name) and name not in groups()]:
        return unknown_settings(unknown)
    if "baselines" in _override_names(argv):
        return "choose baselines by their files: 'baseline=[teacher,bm25]', or baseline=[] for none"
    if match := re.search(r"Could not override '(baselines\.[^']*)'", text):
        added = f"+{match[1]}={_value(argv, match[1], 'VALUE')}"
        return f"{match[1]} is not set yet; write {shlex.quote(added)}"
    if match := re.search(r"Ambiguous value for argument '([^']*)'", text):
        argument = match.group(1)
        name, _, values = argument.partition("=")
        return (
            f"{argument} gives one setting several values. For one job per value add -m:\n"
            f"  python -m m2v_bench -m {shlex.quote(argument)}\n"
            f"For a list write {shlex.quote(f'{name}=[{values}]')}; "
            f"for one value with commas in it {override(name, values)}"
        )
    if (match := re.search(r"Could not override '(\w+)'|Key '(\w+)' not in 'Config'", text)) and (
        former := in_file(match[1] or match[2])
    ):
        return former
    if match := re.search(r"Could not override '(\w+)'", text):
        name = match.group(1)
        added = f"+{name}={_value(argv, name, 'NAME')}"
        return f"{name} is not chosen by default; write {shlex.quote(added)}"
    if match := re.search(r"An item is already at '([^']*)'", text):
        name = match.group(1)
        changed = f"{name}={_value(argv, name, 'VALUE')}"
        return f"{name} is already set; write {shlex.quote(changed)} without the +"
    cause = str(error.__cause__ or "").splitlines()
    if cause and "is not a ListConfig" in cause[0]:
        name, _, value = text.splitlines()[0].removeprefix("Error merging override ").partition("=")
        return f"{name}={value}: must be a list; write {shlex.quote(f'{name}=[{value}]')}"
    return f"{text.splitlines()[0].removeprefix('Error merging override ')}: {cause[0] if cause else text}"


def _override_names(argv: Sequence[str]) -> list[str]:
    arguments = [argument for argument in argv if "=" in argument and not argument.startswith("-")]
    names = [argument.partition("=")[0].lstrip("+~") for argument in arguments]
    return [name for name in names if not name.startswith("hydra")]


def _value(argv: Sequence[str], name: str, default: str) -> str:
    split = [argument.partition("=") for argument in argv]
    values = [value for key, _, value in split if key.lstrip("+~") == name]
    return values[-1] if values else default
