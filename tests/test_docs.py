"""Test that the reference of settings is current, and that the site builds without warnings and works offline."""

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from m2v_bench.config.check import BASELINE_SETTINGS
from m2v_bench.config.schema import (
    BaselineConfig,
    Config,
    LauncherConfig,
    SuiteConfig,
)
from m2v_bench.config.schema import groups as group_folders
from m2v_bench.distillation.dialects import DIALECTS, SEQUENCES
from m2v_bench.distillation.distill_config import EMBEDDINGS, DistillConfig
from m2v_bench.distillation.forward import PRECISIONS
from m2v_bench.distillation.pca import SOLVERS
from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.distillation.quantization import DTYPES
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.reports.signature import AGGREGATIONS
from m2v_bench.runs.launchers import LAUNCHERS
from scripts import tasks_page
from scripts.figures import PAGES, ROOT
from scripts.settings_page import JOBS, PAGE, attributes, files, groups, own_settings, render
from tests.browser import visit


@pytest.mark.parametrize("cls", [DistillConfig, Config, *groups().values()], ids=lambda cls: cls.__name__)
def test_every_setting_is_described(cls: type):
    about, described = attributes(cls)
    assert about
    assert list(described) == list(own_settings(cls)), "attributes of the docstring differ from fields of the dataclass"


def test_attributes_of_a_docstring():
    class Example:
        """Example settings.

        Attributes:
            one: of several
                lines.
        """

    assert attributes(Example) == ("Example settings.", {"one": "of several lines."})


@pytest.mark.parametrize(
    ("cls", "setting", "allowed"),
    [
        (DistillConfig, "dialect", DIALECTS),
        (DistillConfig, "sequence", SEQUENCES),
        (DistillConfig, "pooling", POOLINGS),
        (DistillConfig, "pca_solver", SOLVERS),
        (DistillConfig, "weighting", WEIGHTINGS),
        (DistillConfig, "quantize_to", DTYPES),
        (DistillConfig, "embeddings", EMBEDDINGS),
        (DistillConfig, "precision", PRECISIONS),
        (SuiteConfig, "aggregation", AGGREGATIONS),
        (BaselineConfig, "kind", BASELINE_SETTINGS),
        (LauncherConfig, "name", ["local", *LAUNCHERS]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_description_lists_all_allowed_values(cls: type, setting: str, allowed: Iterable[str]):
    text = attributes(cls)[1][setting]
    assert [name for name in allowed if f"`{name}`" not in text] == []


def test_reference_is_current():
    assert PAGE.read_text(encoding="utf-8") == render(), "run `make figures`"
    assert {*groups(), *JOBS} == set(group_folders())
    assert all(about for group in group_folders() for about in files(group).values())


def test_the_page_of_tasks_is_current():
    assert tasks_page.PAGE.read_text(encoding="utf-8") == tasks_page.render(), "run `make figures`"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--conf-dir", "docs"]
    done = subprocess.run([*command, ".", str(folder)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def test_site_has_every_page(site: Path):
    for page in PAGES:
        assert (site / page.relative_to(ROOT)).with_suffix(".html").is_file(), page


def test_site_works_offline(site: Path):
    with visit() as seen:
        seen.open(site / "index.html")
        seen.page.get_by_role("link", name="Start here").click()
        seen.page.locator("img").first.wait_for()
        for page in PAGES:
            seen.open((site / page.relative_to(ROOT)).with_suffix(".html"))
        seen.open(f"{(site / 'search.html').as_uri()}?q=dimensionality")
        seen.page.get_by_role("link", name="File format").locator("visible=true").last.wait_for()
        assert (seen.errors, seen.failed, seen.outside) == ([], [], [])


def test_formulae_render_and_pages_fit_a_phone(site: Path):
    with visit(width=390) as seen:
        seen.open(site / "docs" / "concepts.html")
        formula = seen.page.locator("math").first.bounding_box()
        assert formula and formula["width"] > 5
        for name in ("docs/concepts", "docs/configuration", "docs/inference", "docs/tutorial", "docs/api", "README"):
            seen.open(site / f"{name}.html")
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390, name
