"""Messages that name a fix: the fix works when typed."""

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
def test_an_override_arrives_as_it_was_meant(value: str):
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
def test_a_path_that_hydra_cannot_read_is_shown_as_it_can(path: str, setting: str, quoted: bool):
    word = f'{setting}="{path}=' if quoted else f"{setting}={path}"
    if quoted or path in ("/p/it's", '/p/the "one"'):
        word, path = f"{setting}={path}=", f"{path}="
    with pytest.raises(BenchError) as told:
        compose([word])
    shown = re.split(r"for Hydra as well: |with commas in it ", str(told.value))[-1]
    (argument,) = shlex.split(shown)
    found = OmegaConf.select(compose([argument]), setting)
    assert found == os.path.expanduser(path)  # noqa: PTH111


@pytest.mark.parametrize("name", ["bob's", "a,b", 'the "one"', "x=1", "[1]", "back\\"])
def test_a_folder_of_config_files_may_have_any_name(tmp_path: Path, name: str):
    (tmp_path / name / "suite").mkdir(parents=True)
    (tmp_path / name / "suite" / "own.yaml").write_text("name: own\ntasks: [STSBenchmark]\n")
    assert compose(["suite=own"], str(tmp_path / name)).suite.tasks == ["STSBenchmark"]


@pytest.mark.parametrize("word", ["sweep", "foo bar=1", "a(b=1"])
def test_what_is_no_override_is_said_to_be_none(word: str):
    with pytest.raises(BenchError, match=r"on the command line; a setting is written NAME=VALUE"):
        compose([word])


@pytest.mark.parametrize("word", ["suite.tasks=[STS12", "suite.tasks=[{name: a(b}]"])
def test_a_list_that_hydra_cannot_read_comes_with_one_that_it_can(word: str):
    with pytest.raises(BenchError, match="quote the whole override for the shell") as told:
        compose([word])
    for argument in shlex.split(str(told.value).rpartition("for Hydra: ")[2].replace(", 'suite", " 'suite")):
        assert compose([argument]).suite.tasks


@pytest.mark.parametrize(
    ("word", "fixed"),
    [
        ("sweep=pca_dims", "+sweep=pca_dims"),
        ("experiment=paper_main", "+experiment=paper_main"),
        ("baselines.glove.label=a b", "+baselines.glove.label=a b"),
    ],
)
def test_what_has_to_be_added_is_shown_with_its_plus(word: str, fixed: str):
    with pytest.raises(BenchError) as told:
        compose([word])
    assert shlex.split(str(told.value).rpartition("write ")[2]) == [fixed]


def test_an_error_that_nobody_foresaw_is_told_without_its_traceback():
    try:
        override("x", None)  # type: ignore[arg-type]
    except TypeError as error:
        message = defect(error)
    assert re.match(r"TypeError in errors.py, line \d+: ", message)
    assert "debug=true shows the traceback" in message
    assert "Traceback" not in message


@pytest.mark.parametrize("name", ["tables", "results", "speed"])
def test_a_file_where_results_are_to_be_written_is_found_first(tmp_path: Path, name: str):
    from m2v_bench.config.check import check

    (tmp_path / name).write_text("a file")
    with pytest.raises(BenchError, match=rf"results_dir=.*: cannot be written \({name} in it: Not a directory\)"):
        check(compose([f"results_dir={tmp_path}"]))


def test_a_results_folder_of_the_home_is_not_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from m2v_bench.config.check import check

    monkeypatch.chdir(tmp_path)
    with pytest.raises(BenchError, match=f"~ is not expanded here; write results_dir={Path.home()}/x"):
        check(compose(['results_dir="~/x"']))
    assert not list(tmp_path.iterdir())
