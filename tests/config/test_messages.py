"""Test that the fixes named in messages work when typed."""

import os
import re
import shlex
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from m2v_bench.config.compose import compose
from m2v_bench.config.messages import defect
from m2v_bench.errors import BenchError, override

CHARACTERS = st.one_of(
    st.sampled_from("\"'\\\\ $${}[](),=#:ab\n\tü*?~%@!"),
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(CHARACTERS, max_size=12))
@example("a\\")
@example('\\"')
@example("${x}")
@example("null")
@example("~")
def test_override_survives_shell_and_hydra_parsing(value: str):
    (argument,) = shlex.split(override("base_model.name", value))
    parsed = OverridesParser.create().parse_override(argument)
    assert (parsed.key_or_group, OmegaConf.create({"x": parsed.value()}).x) == ("base_model.name", value)


ODD_PATHS = [
    "/p/epoch=99",
    "/p/müller",
    "/p/model(1)",
    "/p/c#",
    "/p/a,b",
    "/p/it's",
    '/p/the "one"',
    "/p/a b=c",
    "~/m=1",
    "~nobody/m=1",
]


@pytest.mark.parametrize("path", ODD_PATHS)
@pytest.mark.parametrize("setting", ["base_model.name", "hub_dir", "results_dir", "corpus"])
@pytest.mark.parametrize("quoted", [False, True])
def test_unparsable_path_is_shown_quoted(path: str, setting: str, quoted: bool):
    bad = f'{setting}="{path}=' if quoted else f"{setting}={path}"
    if quoted or path in ("/p/it's", '/p/the "one"'):
        bad, path = f"{setting}={path}=", f"{path}="
    with pytest.raises(BenchError) as error:
        compose([bad])
    shown = re.split(r"for Hydra as well: |with commas in it ", str(error.value))[-1]
    (argument,) = shlex.split(shown)
    value = OmegaConf.select(compose([argument]), setting)
    assert value == os.path.expanduser(path)  # noqa: PTH111


@pytest.mark.parametrize("name", ["bob's", "a,b", 'the "one"', "x=1", "[1]", "back\\"])
def test_config_dir_may_have_any_name(tmp_path: Path, name: str):
    (tmp_path / name / "suite").mkdir(parents=True)
    (tmp_path / name / "suite" / "mine.yaml").write_text("name: mine\ntasks: [STSBenchmark]\n")
    assert compose(["suite=mine"], str(tmp_path / name)).suite.tasks == ["STSBenchmark"]


@pytest.mark.parametrize("argument", ["sweep", "foo bar=1", "a(b=1"])
def test_argument_without_setting_is_refused(argument: str):
    with pytest.raises(BenchError, match=r"on the command line; a setting is written NAME=VALUE"):
        compose([argument])


def test_unparsable_pattern_is_shown_quoted():
    with pytest.raises(BenchError, match="quote the value for Hydra as well") as error:
        compose(["token_remove_pattern=["])
    assert compose(shlex.split(str(error.value).rpartition("as well: ")[2])).token_remove_pattern == "["


@pytest.mark.parametrize("bad", ["suite.tasks=[STS12", "suite.tasks=[{name: a(b}]"])
def test_unparsable_list_is_shown_quoted(bad: str):
    with pytest.raises(BenchError, match="quote the whole override for the shell") as error:
        compose([bad])
    for argument in shlex.split(str(error.value).rpartition("for Hydra: ")[2].replace(", 'suite", " 'suite")):
        assert compose([argument]).suite.tasks


@pytest.mark.parametrize(
    ("bad", "fixed"),
    [
        ("sweep=pca_dims", "+sweep=pca_dims"),
        ("experiment=paper_main", "+experiment=paper_main"),
        ("baselines.glove.label=a b", "+baselines.glove.label=a b"),
        ("+pca_dims=64", "pca_dims=64"),
        ("suite.tasks=STS12", "suite.tasks=[STS12]"),
    ],
)
def test_correct_spelling_is_shown(bad: str, fixed: str):
    with pytest.raises(BenchError) as error:
        compose([bad])
    assert shlex.split(str(error.value).rpartition("write ")[2].removesuffix(" without the +")) == [fixed]
    compose([fixed])


def test_unexpected_error_is_shown_without_traceback():
    try:
        override("x", None)  # type: ignore[arg-type]
    except TypeError as error:
        message = defect(error)
    assert re.match(r"TypeError in errors.py, line \d+: ", message)
    assert "debug=true shows the traceback" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("name", ["tables", "results", "speed"])
def test_file_in_place_of_a_results_folder_is_refused(tmp_path: Path, name: str):
    from m2v_bench.config.check import check

    (tmp_path / name).write_text("a file")
    with pytest.raises(BenchError, match=rf"results_dir=.*: not writable \(subfolder {name}: Not a directory\)"):
        check(compose([f"results_dir={tmp_path}"]))


def test_tilde_in_results_dir_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from m2v_bench.config.check import check

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=f"~ is not expanded here; write results_dir={Path.home()}/x"):
        check(compose(['results_dir="~/x"']))
    assert not list(tmp_path.iterdir())
