"""Test the install without extras: what works, and what a missing package says."""

import re
import subprocess
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest

from m2v_bench.system.packages import missing_extra
from tests.conftest import tiny_static_model


def closure(package: str) -> set[str]:
    """Return a package and all that it requires without extras."""
    known, waiting = set(), [package]
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in known:
            continue
        known.add(name)
        try:
            needed = requires(name) or []
        except Exception:  # not installed here, as what other systems need
            continue
        waiting += [re.match(r"[\w.-]+", line)[0] for line in needed if "extra ==" not in line]
    return known


@pytest.fixture(scope="module")
def without_extras() -> str:
    """Return a statement after which only modules of the plain install can be imported."""
    kept = closure("m2v-bench")
    blocked = sorted(
        module
        for module, packages in packages_distributions().items()
        if not {re.sub(r"[-_.]+", "-", name).lower() for name in packages} & kept
    )
    assert {"torch", "mteb", "hydra", "mlflow", "sklearn", "scipy"} <= set(blocked)
    assert not {"numpy", "tokenizers", "numba"} & set(blocked)
    return (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {blocked!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)


def test_static_models_work_without_extras(without_extras: str, tmp_path: Path):
    tiny_static_model(["a", "cat", "dog"]).save_pretrained(tmp_path / "model")
    (tmp_path / "texts.txt").write_text("a cat\na dog\n")
    code = """
from m2v_bench import StaticModel
model = StaticModel.from_pretrained("model")
embeddings = model.encode(["a cat", "a dog"])
model.save_pretrained("copy")
print(embeddings.shape, model.similarity(embeddings, embeddings).shape)
from m2v_bench.cli import main
main(["encode", "copy", "texts.txt"])
"""
    done = run(without_extras + code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "(2, 8) (2, 2)" in done.stdout
    assert (tmp_path / "texts.npy").is_file()


@pytest.mark.parametrize(
    ("code", "package", "extra"),
    [
        ("from m2v_bench import distill", "torch", "distill"),
        ("from m2v_bench import StaticEmbedder", "scikit-learn", "distill"),
        ("from m2v_bench.cli import main; main(['table'])", "omegaconf", "bench"),
        ("from m2v_bench.cli import main; main(['leaderboard'])", "", "bench"),
        ("from m2v_bench.cli import main; main(['fetch', '--list'])", "rich", "bench"),
        ("from m2v_bench.__main__ import main; main()", "hydra-core", "bench"),
    ],
)
def test_a_missing_extra_is_one_line_with_the_command(
    without_extras: str, tmp_path: Path, code: str, package: str, extra: str
):
    done = run(without_extras + code, tmp_path)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"the package {package}" in last
    assert f"is not installed; install it with `pip install '.[{extra}]'`, in the checkout" in last
    if "import main" in code:
        assert len(done.stderr.splitlines()) == 1


def test_other_missing_packages_are_none_of_our_extras():
    assert missing_extra(ModuleNotFoundError("no", name="pandoc")) is None
    assert missing_extra(ModuleNotFoundError("no")) is None
