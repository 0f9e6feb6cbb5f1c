"""Test that the browser of other tests reports errors of a page."""

from pathlib import Path

import pytest

from tests.browser import SETTING, visit

PAGE = """<!doctype html><title>a page</title>
<style>.wide { display: none } @media (min-width: 900px) { .wide { display: block } }</style>
<p class="wide">room enough</p>
"""
BAD = """<script>console.error("told"); nobody()</script><img src="missing.png"><img src="http://192.0.2.1/a.png">
<img src="http://model-hub.example/a.png">"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "page.html").write_text(PAGE)
    return tmp_path / "page.html"


def test_a_good_page_has_nothing_to_tell(file: Path, tmp_path: Path):
    with visit(width=1000) as seen:
        seen.open(file)
        assert seen.page.title() == "a page"
        assert seen.page.get_by_text("room enough").is_visible()
        seen.page.set_viewport_size({"width": 400, "height": 800})
        assert not seen.page.get_by_text("room enough").is_visible()
        seen.print_to(tmp_path / "page.pdf")
        assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
        assert (seen.errors, seen.failed, seen.outside) == ([], [], [])
        assert seen.requested == [file.as_uri()]


def test_errors_missing_files_and_the_outside_are_seen(file: Path):
    file.write_text(PAGE + BAD)
    with visit() as seen:
        seen.open(file)
        assert any("told" in error for error in seen.errors)
        assert any("nobody is not defined" in error for error in seen.errors)
        assert seen.outside == ["http://192.0.2.1/a.png", "http://model-hub.example/a.png"]
        assert len(seen.failed) == 3, seen.failed
        # both are refused before anything leaves this machine
        assert sum("ERR_NAME_NOT_RESOLVED" in failure for failure in seen.failed) == 2, seen.failed


def test_without_a_browser_the_test_is_skipped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(SETTING, "/nowhere/chromium")
    with pytest.raises(pytest.skip.Exception, match="no Chromium"), visit():
        pass
