"""Test the Dockerfile and the development container as far as it goes without Docker."""

import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[1]


def instructions() -> list[tuple[str, str]]:
    """Return name and arguments of the Dockerfile's instructions, with continued lines joined."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def values(name: str) -> list[str]:
    return [rest for instruction, rest in instructions() if instruction == name]


def test_instructions_are_in_order_and_known():
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert set(names) <= {"FROM", "ARG", "RUN", "COPY", "USER", "ENV", "VOLUME", "WORKDIR", "ENTRYPOINT", "CMD"}
    assert names.index("USER") > max(place for place, name in enumerate(names) if name == "RUN")
    assert values("USER") == ["bench"]  # which `useradd` makes
    assert "useradd --create-home --uid 1000 bench" in values("RUN")[0]


def test_what_is_copied_is_there_and_not_ignored():
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line]
    assert ignored[0] == "*"
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for arguments in values("COPY"):
        *sources, _ = shlex.split(arguments)
        for source in sources:
            assert (ROOT / source).exists()
            assert any(fnmatch(source, pattern) for pattern in kept)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert needed["project"]["readme"] in kept and set(needed["project"]["license-files"]) <= set(kept)
    assert set(needed["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]) <= set(kept)


def test_installed_extras_and_programs_exist():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = re.findall(r"\[(\w+)\]\"", values("RUN")[1])
    assert extras and set(extras) <= set(project["optional-dependencies"])
    assert json.loads(values("ENTRYPOINT")[0])[0] in project["scripts"]
    (code,) = re.findall(r'python -c "(.*)"', values("RUN")[1])
    exec(code.partition(";")[0])  # the import; compiling takes long


def test_caches_are_in_volumes():
    volumes = json.loads(values("VOLUME")[0])
    places = dict(pair.split("=", 1) for pair in shlex.split(values("ENV")[0]))
    assert {"M2V_BENCH_CACHE", "HF_HOME"} <= set(places)
    assert all(any(place.startswith(f"{volume}/") for volume in volumes) for place in places.values())


def test_development_container_uses_targets_of_make():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    _, *targets = settings["postCreateCommand"].split()
    makefile = (ROOT / "Makefile").read_text()
    for target in targets:
        assert f"\n{target}:" in makefile or re.fullmatch(r"\.venv/\.installed-(test|lint|docs)", target)
