"""Write docs/configuration.md from the dataclasses in config/schema.py and the files of conf/.

Run by `make figures` as `python -m scripts.settings_page`.
"""

import inspect
import json
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeGuard, get_args

import yaml

from m2v_bench.config.check import flat_settings
from m2v_bench.config.compose import compose
from m2v_bench.config.schema import BaselineConfig, Config, conf_dir
from m2v_bench.distillation.distill_config import DistillConfig

PAGE = Path(__file__).parents[1] / "docs" / "configuration.md"
JOBS = {"sweep": "axes to vary", "experiment": "items of the paper"}
_LONGEST = 60  # characters of a displayed default
_TYPES = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    dict: "mapping",
    Any: "number, text or list",
}

_HEAD = """# Configuration

<!-- Written by `make figures` from m2v_bench/config/schema.py and conf/. -->

Override a setting with `SETTING=VALUE` after `python -m m2v_bench`. Override a group with `GROUP=FILE`, which takes all
settings of `conf/GROUP/FILE.yaml`. `-m` and several values give a sweep ([Sweeps](sweeps.md)). `--config-dir FOLDER`
adds your config files. Unknown settings and invalid values are errors. Defaults are those of a run without overrides.
"""


def attributes(cls: type) -> tuple[str, dict[str, str]]:
    """Parse a dataclass's docstring into its summary and the descriptions of its attributes."""
    about, _, listed = inspect.cleandoc(cls.__doc__ or "").partition("\n\nAttributes:\n")
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, re.MULTILINE)
    return _line(about), {name: _line(text) for name, text in entries}


def own_settings(cls: type) -> dict[str, Any]:
    """Return the types of the settings that a dataclass itself declares, without groups."""
    declared = set(cls.__annotations__)
    return {field.name: field.type for field in fields(cls) if field.name in declared and not _is_group(field.type)}


def groups() -> dict[str, type]:
    """Return the dataclass of each group of settings, by name."""
    by_name = {field.name: field.type for field in fields(Config) if _is_group(field.type)}
    return {**by_name, "baseline": BaselineConfig}


def _is_group(kind: Any) -> TypeGuard[type]:
    return isinstance(kind, type) and is_dataclass(kind)


def files(group: str) -> dict[str, str]:
    """Return the first comment of each file of a group, or its settings if there is none."""
    return {path.stem: _about(path) for path in sorted((conf_dir() / group).glob("*.yaml"))}


def _about(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    comments = re.match(r"(?:# @package.*\n)?((?:#.*\n)*)", text)
    assert comments
    about = _line(re.sub(r"^#", "", comments[1], flags=re.MULTILINE))
    return about or ", ".join(f"`{name}={value}`" for name, value in yaml.safe_load(text).items())


def render() -> str:
    """Return the page."""
    composed = compose([])
    defaults = {**flat_settings(composed), "baselines": ", ".join(composed.baselines)}
    parts = [_HEAD, "## Distillation", attributes(DistillConfig)[0], _table(DistillConfig, "", defaults)]
    parts += ["## Run", _table(Config, "", defaults)]
    for group, cls in groups().items():
        key = "baselines.NAME" if group == "baseline" else group
        parts += [f"## {group}", attributes(cls)[0], _table(cls, f"{key}.", defaults)]
        if choices := files(group):
            parts.append(_choices(f"`{group}={{}}`", choices))
    for group, about in JOBS.items():
        parts += [
            f"## +{group}",
            f"Files of `conf/{group}/`: {about}. Each makes a sweep.",
            _choices(f"`+{group}={{}}`", files(group)),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(cls: type, prefix: str, defaults: dict[str, Any]) -> str:
    about = attributes(cls)[1]
    rows = ["| Setting | Type | Default | Description |", "|---|---|---|---|"]
    for setting, kind in own_settings(cls).items():
        name = f"{prefix}{setting}"
        default = _value(defaults[name]) if name in defaults else ""
        rows.append(f"| `{name}` | {_type(kind)} | {default} | {_cell(about[setting])} |")
    return "\n".join(rows)


def _choices(pattern: str, choices: dict[str, str]) -> str:
    rows = [f"| {pattern.format(name)} | {_cell(about)} |" for name, about in choices.items()]
    return "\n".join(["| Choice | Description |", "|---|---|", *rows])


def _type(kind: Any) -> str:
    """Describe a type in plain English."""
    if isinstance(kind, UnionType):
        return ", ".join("null" if part is type(None) else _type(part) for part in get_args(kind))
    if getattr(kind, "__origin__", None) is list:
        return "list"
    return _TYPES[getattr(kind, "__origin__", kind)]


def _value(value: Any) -> str:
    """Format a value as on the command line, unless it is long."""
    text = value if isinstance(value, str) else json.dumps(value)
    return f"`{text}`" if len(text) <= _LONGEST else f"{len(value)} of them"


def _line(text: str) -> str:
    return " ".join(text.split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
