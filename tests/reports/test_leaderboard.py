"""Test the leaderboard: what it gathers, what its script computes, and how it behaves in a browser."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page

from m2v_bench.cache import write_json
from m2v_bench.cli import main
from m2v_bench.errors import BenchError
from m2v_bench.reports.leaderboard import Board, BoardModel, gather
from m2v_bench.reports.leaderboard_page import render, write_leaderboard
from m2v_bench.results.scores import StoredModel
from m2v_bench.stats.aggregates import AVERAGES, borda, cqadupstack
from m2v_bench.stats.bootstrap import bootstrap_task
from m2v_bench.stats.significance import Comparison
from m2v_bench.tasks.samples import Samples
from tests.browser import Visit, visit
from tests.reports.results_folder import N_SAMPLES, TASKS, Folder

DIMS = (32, 64, 128, 256)
SPEED = {
    "texts": 100,
    "mean_characters": 50.0,
    "session": "s1",
    "measured": "2026-01-02",
    "hardware": {"processor": "CPU"},
}


def student(dims: int, weighting: str) -> str:
    return f"m2v_bench/teacher-{dims}-{weighting}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Write a teacher, eight students in two settings, another static model that lacks a task, and their speeds."""
    folder = Folder(tmp_path_factory.mktemp("board") / "results")
    rng = np.random.default_rng(0)
    speeds = []
    for number, task in enumerate(TASKS):
        hard = rng.random(N_SAMPLES)

        def outcome(level: float, hard: np.ndarray = hard) -> np.ndarray:
            return hard + 0.05 * rng.normal(size=N_SAMPLES) < level

        folder.add("org/teacher", task, outcome(0.8))
        for dims in DIMS:
            for weighting, gain in (("sif", 0.05), ("none", 0.0)):
                settings = {"base_model": "teacher", "pca_dims": dims, "weighting": weighting}
                folder.add(student(dims, weighting), task, outcome(0.4 + dims / 1000 + gain), settings=settings)
        if number:
            folder.add("org/words", task, outcome(0.45))
    for name, rate, dims in (("org/teacher", 90.0, 384), ("org/words", 90_000.0, 50)):
        speeds.append(
            {
                **SPEED,
                "label": name,
                "model": name,
                "revision": "r1",
                "texts_per_second": rate,
                "dims": dims,
                "bytes_on_disk": 10**8,
            }
        )
    for dims in DIMS:
        for weighting in ("sif", "none"):
            name = student(dims, weighting)
            speeds.append(
                {
                    **SPEED,
                    "label": name,
                    "model": name,
                    "revision": "r1",
                    "texts_per_second": 5e7 / dims,
                    "dims": dims,
                    "bytes_on_disk": 60_000 * dims,
                }
            )
    run = folder.record("org/teacher", "teacher")
    record = json.loads((run / "record.json").read_text())
    record["scores"] = [{**row, "kind": "transformer"} for row in record["scores"]]
    write_json(run / "record.json", {**record, "speed": speeds})
    return folder


@pytest.fixture(scope="module")
def page(folder: Folder) -> Path:
    return write_leaderboard([folder.path])


@pytest.fixture(scope="module")
def opened(page: Path) -> Iterator[Visit]:
    with visit(width=1440) as browser:
        browser.open(page)
        drawn(browser.page)
        yield browser


def drawn(page: Page) -> None:
    """Wait until the figures are drawn."""
    page.wait_for_selector("body[data-drawn]")
    page.wait_for_selector("#scatter svg")


def shown(page: Page) -> list[str]:
    return page.locator("#board tbody th span").all_inner_texts()


def column(page: Page, title: str) -> list[str]:
    heads = [text.split("\u00a0")[0] for text in page.locator("#board thead th").all_inner_texts()]
    place = next(number for number, text in enumerate(heads) if text.startswith(title))
    return [row.locator("th, td").nth(place).inner_text() for row in page.locator("#board tbody tr").all()]


def reset(visited: Visit) -> Page:
    visited.page.click("#reset")
    return visited.page


def test_page_loads_without_errors_and_requests(opened: Visit, page: Path, folder: Folder):
    assert page == folder.path / "leaderboard.html"
    assert opened.errors == []
    assert opened.requested == [page.resolve().as_uri()]
    assert page.stat().st_size < 5e6
    assert len(shown(opened.page)) == 10
    assert "10 models on 3 tasks" in opened.page.inner_text("#lead")
    for figure in ("scatter", "curve", "heat", "pair"):
        opened.page.wait_for_selector(f"#{figure} svg")
        assert opened.page.get_attribute(f"#{figure}", "aria-label") == opened.page.inner_text(f"#{figure}-text")


def test_averages_and_ranks_are_those_of_the_tables(opened: Visit, folder: Folder):
    board = gather([folder.path], intervals=False)
    labels = [model.stored.label for model in board.models]
    long = pd.DataFrame(
        [
            {"model": label, "task": task, "type": kind, "score": board.scores[row, column]}
            for row, label in enumerate(labels)
            for column, (task, kind) in enumerate(board.tasks.items())
        ]
    )
    for name, average in AVERAGES.items():
        computed = opened.page.evaluate(
            f"[...Array({len(labels)}).keys()].map(row => leaderboard.average(row, [0, 1, 2], '{name}'))"
        )
        for label, cell in zip(labels, computed, strict=True):
            expected = average(long)[label]
            assert cell["n"] == expected.n
            assert cell["value"] == pytest.approx(100 * expected.value, abs=1e-3)
    assert opened.page.evaluate("leaderboard.borda([0, 1, 2])") == [int(borda(long)["rank"][label]) for label in labels]


def test_differences_are_those_of_the_comparison(opened: Visit, folder: Folder):
    board = gather([folder.path])
    labels = [model.stored.label for model in board.models]
    one, two = labels.index("teacher-256-sif"), labels.index("teacher-32-none")
    bootstraps = []
    for task in board.tasks:
        parts = [
            {"test/default": Samples("mean", _samples(folder, student(*key), task), None, "text")}
            for key in ((256, "sif"), (32, "none"))
        ]
        bootstraps.append(bootstrap_task(task, parts, replicates=2000, seed=1))
    exact = Comparison(board.scores[[one, two]].T, bootstraps, list(board.tasks.values()), replicates=2000, seed=1)
    for place in range(len(board.tasks)):
        computed = opened.page.evaluate(f"leaderboard.onTask({place}, {one}, {two})")
        expected = exact.on_task(place, 0, 1)
        assert computed["value"] == pytest.approx(100 * expected.value, abs=1e-3)
        # 500 replicates know a standard deviation to 3 %
        assert computed["low"] == pytest.approx(100 * expected.low, abs=0.1 * (computed["high"] - computed["low"]))
        assert computed["high"] == pytest.approx(100 * expected.high, abs=0.1 * (computed["high"] - computed["low"]))
    whole, expected = opened.page.evaluate(f"leaderboard.onAverage([0, 1, 2], {one}, {two})"), exact.these_tasks(0, 1)
    assert whole["value"] == pytest.approx(100 * expected.value, abs=1e-3)
    assert whole["low"] == pytest.approx(100 * expected.low, abs=0.1 * (whole["high"] - whole["low"]))
    assert whole["p"] < 0.05


def _samples(folder: Folder, name: str, task: str) -> np.ndarray:
    file = folder.path / "samples" / name.replace("/", "__") / "r1" / f"{task}.npz"
    return np.load(file)["test/default|mean|text|values"]


def test_columns_sort_and_models_without_all_tasks_come_last(opened: Visit):
    page = reset(opened)
    button = page.locator("#board th[data-key=average] button")
    button.click()
    assert page.get_attribute("#board th[data-key=average]", "aria-sort") == "descending"
    values = [float(text.split()[0]) for text in column(page, "Avg")]
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert shown(page)[-1] == "words"  # whatever its average, it is of other tasks
    button.click()
    assert page.get_attribute("#board th[data-key=average]", "aria-sort") == "ascending"
    assert [float(text.split()[0]) for text in column(page, "Avg")][:-1] == sorted(values[:-1])
    page.locator("#board th[data-key=speed] button").focus()
    page.keyboard.press("Enter")
    speeds = [float(text.replace(",", "")) for text in column(page, "Texts/s")]
    assert speeds == sorted(speeds, reverse=True)


def test_search_filters_and_types_restrict_the_table(opened: Visit):
    page = reset(opened)
    page.fill("#search", "256")
    page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 2")
    page.fill("#search", "")
    page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 10")
    page.click("#filters summary")
    page.get_by_role("group", name="weighting").get_by_label("sif").check()
    assert sorted(shown(page)) == sorted([f"teacher-{dims}-sif" for dims in DIMS] + ["teacher", "words"])
    page.get_by_role("group", name="kind of model").get_by_label("distilled here").check()
    assert sorted(shown(page)) == sorted(f"teacher-{dims}-sif" for dims in DIMS)
    page.locator("#types").get_by_label("Ret").uncheck()
    assert "2 of 3 tasks" in page.inner_text("#count")
    assert page.locator("#board th[data-key='type:Ret']").count() == 0
    page.click("#columns summary")
    page.locator("#columns").get_by_label("Dims").uncheck()
    assert page.locator("#board th[data-key=dims]").count() == 0
    page.locator("#columns").get_by_label("every task").check()
    assert page.locator("#board th[data-key='task:MENWordSim']").count() == 1


def test_address_restores_the_view(opened: Visit, page: Path):
    reset(opened)
    first = opened.page
    first.locator("#board th[data-key=dims] button").click()
    first.fill("#search", "sif")
    first.wait_for_function("document.querySelectorAll('#board tbody tr').length === 4")
    for label in ("teacher-64-sif", "teacher-256-sif"):
        first.get_by_label(f"pin {label}", exact=True).check()
    first.select_option("#average", "macro")
    address, rows = first.url, first.locator("#board tbody").inner_html()
    second = opened.another(width=1440)
    second.page.goto(address)
    drawn(second.page)
    assert second.page.locator("#board tbody").inner_html() == rows
    assert second.page.input_value("#search") == "sif"
    assert "teacher-64-sif minus teacher-256-sif" in second.page.inner_text("#verdict")
    assert "significant" in second.page.inner_text("#verdict")
    second.page.get_by_label("show only these").check()
    assert sorted(shown(second.page)) == ["teacher-256-sif", "teacher-64-sif"]
    second.page.get_by_label("unpin teacher-64-sif").click()
    assert shown(second.page) == ["teacher-256-sif"]
    assert second.errors == []


def test_points_show_numbers_and_pin_their_model(opened: Visit):
    page = reset(opened)
    page.wait_for_timeout(300)
    page.wait_for_selector("#scatter svg")
    point = page.locator("#scatter [aria-roledescription=point]").first
    point.hover()
    tooltip = page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    numbers = tooltip.inner_text()
    assert "average" in numbers
    point.click()
    page.wait_for_selector("#pins button")
    label = page.locator("#pins button").first.inner_text().removesuffix(" ×")
    assert label in numbers
    assert page.locator("#board tr.pinned th span").inner_text() == label


def test_heat_map_marks_significant_differences_to_the_teacher(opened: Visit):
    page = reset(opened)
    page.wait_for_timeout(300)
    assert "9 of 10" not in page.inner_text("#heat-text")
    assert "A dot marks" in page.inner_text("#heat-text")
    page.select_option("#base", label="difference to teacher-32-none")
    page.wait_for_function(
        "document.getElementById('heat-text').textContent.startsWith('Differences to teacher-32-none')"
    )


def test_files_hold_the_current_view(opened: Visit):
    page = reset(opened)
    page.fill("#search", "sif")
    page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 4")
    with page.expect_download() as event:
        page.click("#csv")
    text = Path(event.value.path()).read_text()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["Model"] for row in rows] == shown(page)
    assert [f"{float(row['Avg']):.2f}" for row in rows] == [cell.split()[0] for cell in column(page, "Avg")]
    assert {row["Avg_n"] for row in rows} == {"3"}
    with page.expect_download() as event:
        page.click("#latex")
    text = Path(event.value.path()).read_text()
    assert text.startswith("\\begin{tabular}")
    assert text.count("\\\\") == 5  # header and four models
    assert "\\% of teacher" in text


@pytest.mark.parametrize("dark", [False, True])
def test_phone_width_has_no_sideways_scroll(opened: Visit, page: Path, dark: bool):
    phone = opened.another(width=390, height=844)
    phone.page.emulate_media(color_scheme="dark" if dark else "light")
    phone.open(page)
    drawn(phone.page)
    phone.page.wait_for_selector("#pair svg")
    assert phone.page.evaluate("document.documentElement.scrollWidth") == 390
    background = phone.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background.removeprefix("rgb(").removesuffix(")").split(","))) < 200) is dark
    assert phone.errors == []


def test_paper_has_the_table_and_figures_without_controls(opened: Visit, page: Path, tmp_path: Path):
    printed = opened.another(width=800, height=1100)
    printed.open(page)
    drawn(printed.page)
    printed.page.emulate_media(media="print", color_scheme="dark")
    assert printed.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not printed.page.locator("#controls").is_visible()
    assert not printed.page.locator("#board input[type=checkbox]").first.is_visible()
    assert printed.page.locator("#board tbody tr").count() == 10
    figures = printed.page.locator("[role=img]").all()
    assert len(figures) >= 3 and all(figure.get_attribute("aria-label") for figure in figures)
    printed.print_to(tmp_path / "board.pdf")
    assert (tmp_path / "board.pdf").read_bytes().startswith(b"%PDF")


def test_large_page_is_small_and_works(opened: Visit, tmp_path: Path):
    board = large_board(1000, 72)
    text = render(board, title="Large")
    assert len(text.encode()) < 5e6
    (tmp_path / "large.html").write_text(text, encoding="utf-8")
    browser = opened.another(width=1440)
    browser.open(tmp_path / "large.html")
    drawn(browser.page)
    assert len(shown(browser.page)) == 100
    browser.page.click("#more")
    assert len(shown(browser.page)) == 1000
    browser.page.locator("#board th[data-key=average] button").click()
    values = [float(text.split()[0]) for text in column(browser.page, "Avg")[:50]]
    assert values == sorted(values, reverse=True)
    assert browser.errors == []


def large_board(n_models: int, n_tasks: int) -> Board:
    rng = np.random.default_rng(0)
    models = []
    for number in range(n_models):
        settings = {
            "base_model": f"teacher-{number % 4}",
            "pca_dims": 32 * (1 + number % 12),
            "weighting": ("sif", "none")[number % 2],
            "seed": number,
        }
        stored = StoredModel(
            f"m2v_bench/student-{number}", "r1", f"student {number}", "static", settings, Path(f"{number}"), f"{number}"
        )
        models.append(
            BoardModel(stored, None, 32 * (1 + number % 12), 10**6, 10**7 + number, {0: (1e5 + number, 1e5, 2e5)})
        )
    kinds = ["Classification", "Clustering", "Retrieval", "STS"]
    tasks = {f"Task{number}": kinds[number % 4] for number in range(n_tasks)}
    return Board(models, tasks, rng.random((n_models, n_tasks)), ["timed together on one thread of CPU"])


def test_sources_are_merged_and_other_data_does_not_count(tmp_path: Path):
    one, two = Folder(tmp_path / "one"), Folder(tmp_path / "two")
    values = np.linspace(0, 1, N_SAMPLES)
    for model in ("org/a", "org/b", "org/c"):
        one.add(model, "SciFact", values, data="old" if model == "org/c" else "d1")
    two.add("org/a", "MENWordSim", values / 2)
    two.add("org/a", "SciFact", values / 4)
    board = gather([one.path, two.path])
    assert [model.stored.label for model in board.models] == ["a", "b", "c"]
    assert list(board.tasks) == ["SciFact", "MENWordSim"]
    assert board.scores[0] == pytest.approx([0.5, 0.25], abs=1e-6)
    assert np.isnan(board.scores[1, 1])
    assert np.isnan(board.scores[2]).all()
    notes = "\n".join(board.notes)
    assert (
        "SciFact: scored on another dataset revision, split or subset than the 2 that count, so counted as missing: c"
        in notes
    )
    assert f"a: several scores of SciFact, up to 37.50 points apart; those in {one.path} count" in notes


def test_models_with_equal_names_keep_their_own_scores(tmp_path: Path):
    folder = Folder(tmp_path / "results")
    for organisation, level in (("org-a", 0.2), ("org-b", 0.6)):
        for task in TASKS:
            values = (np.linspace(0, 1, N_SAMPLES) < level).astype(np.float32)
            folder.add(f"{organisation}/m", task, values, revision="no_revision_available")
    board = gather([folder.path])
    assert [model.stored.label for model in board.models] == ["m no_rev of org-a/m", "m no_rev of org-b/m"]
    assert board.scores[:, 0] == pytest.approx([0.2, 0.6], abs=0.01)
    assert all(list(part.models) == [0, 1] for part in board.resampled.values())


def test_text_cannot_leave_the_data_block(tmp_path: Path):
    folder = Folder(tmp_path / "results")
    folder.add("org/a", "SciFact", np.linspace(0, 1, N_SAMPLES))
    folder.record("org/a", "<!--<script>&'\"")
    text = render(gather([folder.path]), title="<b>x")
    data = text.partition('id="data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert json.loads(data)["models"][0]["label"] == "<!--<script>&'\""
    assert "<title>&lt;b&gt;x</title>" in text


def test_an_aggregate_replaces_its_tasks(tmp_path: Path):
    folder = Folder(tmp_path / "results")
    ((whole, forums),) = cqadupstack().items()
    for number, forum in enumerate(forums):
        folder.add("org/a", forum, np.full(N_SAMPLES, number / 20))
    board = gather([folder.path])
    assert list(board.tasks) == [whole]
    assert board.scores[0, 0] == pytest.approx(np.mean([number / 20 for number in range(len(forums))]), abs=1e-6)


def test_an_exported_table_has_the_same_scores(folder: Folder, tmp_path: Path):
    main(["export", "--results", str(folder.path), "--out", str(tmp_path / "all.parquet")])
    table, whole = gather([tmp_path / "all.parquet"]), gather([folder.path])
    assert [model.stored.label for model in table.models] == [model.stored.label for model in whole.models]
    np.testing.assert_array_equal(table.scores, whole.scores)
    assert not table.resampled
    assert "no intervals" in " ".join(table.notes)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "holds no result files"),
        (["--models", "techer*"], "no such model has results"),
        (["--out", "page.txt"], "must end in .html"),
        (["--serve", "--out", "page.html"], "--serve writes no file"),
    ],
)
def test_bad_input_is_refused(folder: Folder, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    paths = [] if arguments[0] == "nowhere" else [str(folder.path)]
    with pytest.raises(SystemExit):
        main(["leaderboard", *paths, *arguments])
    assert message in capsys.readouterr().err


def test_a_page_that_cannot_be_written_is_refused(folder: Folder, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot be written"):
        write_leaderboard([folder.path], tmp_path / "file" / "page.html")


def test_served_page_shows_new_scores(opened: Visit, tmp_path: Path):
    folder = Folder(tmp_path / "results")
    command = [sys.executable, "-m", "m2v_bench.cli", "leaderboard", str(folder.path), "--serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[0]
            browser = opened.another()
            browser.page.goto(address)
            assert "No scores yet" in browser.page.inner_text("body")
            folder.add("org/a", "SciFact", np.linspace(0, 1, N_SAMPLES))
            browser.page.goto(f"{address}#q=org")
            one_row = "document.querySelectorAll('#board tbody tr').length === 1"
            browser.page.wait_for_function(one_row, timeout=20_000)  # the page without scores looks again
            assert shown(browser.page) == ["a"]
            folder.add("org/b", "SciFact", np.linspace(0, 1, N_SAMPLES))
            browser.page.wait_for_function("document.querySelectorAll('#board tbody tr').length === 2", timeout=20_000)
            assert browser.page.input_value("#search") == "org"
            assert browser.errors == []
            assert browser.outside == []
        finally:
            server.terminate()
            server.wait(30)
