"""Test the layers of the package: imports point down, without cycles, and module names are unique."""

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "m2v_bench"

# From the top down. Imports inside functions count too.
LAYERS = [
    {"__init__", "__main__", "cli"},
    {"runs", "paper", "doctor"},
    {"reports", "tracking", "speed"},
    {"stats", "results", "evaluation"},
    {"models", "tasks"},
    {"config"},
    {"distillation"},
    {"inference"},
    {"assets"},
    {"system", "cache", "errors"},
]
HALLWAY = 6  # modules directly in the package, at most


def modules() -> dict[str, Path]:
    """Return every module by its dotted name; a package by that of its folder."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Return the modules of the package that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name.split(".")[0] == PACKAGE.name:
                yield name if name in known else name.rpartition(".")[0]


def layer(module: str) -> int:
    part = module.split(".")[1] if "." in module else "__init__"
    return next(number for number, parts in enumerate(LAYERS) if part in parts)


def test_imports_point_down() -> None:
    known = modules()
    upward = [
        f"{module} -> {target}"
        for module, path in known.items()
        for target in imports(path, known)
        if layer(target) < layer(module)
    ]
    assert not upward


def test_no_cycle() -> None:
    known = modules()
    graph = {module: set(imports(path, known)) - {module} for module, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" -> ".join(error.args[1])) from None


def test_a_module_name_occurs_once() -> None:
    names = Counter(module.rpartition(".")[2] for module in modules())
    assert not [name for name, count in names.items() if count > 1]


def test_few_files_in_the_hallway() -> None:
    files = [path.name for path in PACKAGE.glob("*.py")]
    assert len(files) <= HALLWAY, files
