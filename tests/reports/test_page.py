"""Test `m2v-bench report` on real sweeps: contents of the page, and how it looks and behaves in a browser."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import processes
from tests.browser import Visit, visit
from tests.conftest import run_bench

TASKS = "suite.tasks=[SimLex999WordSim,WordSim353WordSim]"
COMMON = ["suite=custom", "baseline=[glove-6b-50d,random]", "tracking=none"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a folder with a finished sweep, one with failed jobs and scores, and a run."""
    home = tmp_path_factory.mktemp("reported")
    good = run_bench("+sweep=pca_dims", "pca_dims=16,32,none", TASKS, *COMMON, cwd=home)
    assert good.returncode == 0, good.stderr
    (home / "hub" / "mteb" / "sts12-sts").mkdir(parents=True)  # an empty dataset repository
    swept = "suite.tasks=[STS12],[STS12,SimLex999WordSim],[SimLex999WordSim]"
    bad = run_bench("-m", swept, "pca_dims=16", "hub_dir=hub", "sweep.name=bad", *COMMON, cwd=home)
    assert bad.returncode == 2, bad.stderr
    run = run_bench("pca_dims=16", TASKS, *COMMON, cwd=home)
    assert run.returncode == 0, run.stderr
    return home


def report(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return processes.run("m2v_bench.cli", "report", *arguments, cwd=home)


@pytest.fixture(scope="module")
def page(home: Path) -> Path:
    """Write the report of the finished sweep."""
    done = report(home, "pca_dims")
    assert done.returncode == 0, done.stderr
    written = [home / line.removeprefix("wrote ") for line in done.stdout.splitlines()]
    assert [path.name for path in written[:2]] == ["pca_dims.html", "pca_dims.md"]
    assert all(path.is_file() for path in written)
    return written[0]


def copied(home: Path, target: Path) -> Path:
    """Copy the results to a folder where tests may change them."""
    shutil.copytree(home / "results", target / "results", ignore=shutil.ignore_patterns("model", ".locks"))
    return target


def text_of(page: Path) -> str:
    """Return the Markdown version of the page."""
    return page.with_suffix(".md").read_text(encoding="utf-8")


def test_report_is_complete(home: Path, page: Path):
    text = text_of(page)
    assert "- Jobs: 3/3 finished" in text
    assert re.search(r"\| Model \| Avg \(2/2\) \|", text)
    assert re.search(
        r"^M2V all-MiniLM-L6-v2 no PCA sif scores [\d.]+ on average over 2 tasks: the best of 5 static ", text, re.M
    )
    order = [
        "## Results",
        "pca_dims-scores.png",
        "| Model | Avg",
        "## Scores of each task",
        "## Cost",
        "## To repeat it",
    ]
    assert [text.index(part) for part in order] == sorted(text.index(part) for part in order)
    assert "| 1 | 16 | M2V all-MiniLM-L6-v2 16d sif |" in text
    assert re.search(r"\| pca_dims=none \| [\d.]+ \| [\d.]+ \| ", text)
    assert "Holm-corrected" in text
    assert re.search(r"3/3 jobs: prepare [\d.]+ s, distil [\d.]+ s \(forward passes [\d.]+ s\), evaluate ", text)
    assert re.search(r"\| GloVe 6B 50d \| 2/2 \| [\d.]+ \| [\d,]+ \| [\d,]+ \| [\d,]+ \|", text)
    assert "| sif_coefficient | 0.0001 |" in text
    assert "python -m m2v_bench +sweep=pca_dims pca_dims=16,32,none" in text
    assert text.rstrip().count("m2v-bench report pca_dims\n") == 1
    assert "suite custom (2 tasks); average over tasks (micro)" in text
    assert "Failures" not in text
    html = page.read_text(encoding="utf-8")
    for fact in ("3/3 finished", "Holm-corrected", "pca_dims=16,32,none", "sif_coefficient"):
        assert fact in html
    for picture in re.findall(r"\((pca_dims[^)]+\.(?:png|svg))\)", text):
        assert (page.parent / picture).is_file()
    assert len(set(re.findall(r"\((pca_dims[^)]+\.svg)\)", text))) == 2


def test_report_is_reproducible(home: Path, page: Path):
    before = {path.name: path.read_bytes() for path in page.parent.glob("pca_dims*")}
    assert len(before) == 6
    assert report(home, "results/sweeps/pca_dims").returncode == 0
    after = {path.name: path.read_bytes() for path in page.parent.glob("pca_dims*")}
    command = b"m2v-bench report results/sweeps/pca_dims"
    assert {name: data.replace(command, b"m2v-bench report pca_dims") for name, data in after.items()} == before


def test_failures_have_reasons(home: Path):
    done = report(home, "bad")
    assert done.returncode == 0, done.stderr
    text = text_of(home / "results" / "reports" / "bad.html")
    assert "- Jobs: 1/3 finished; 2 with failures" in text
    assert "**2/3 jobs not finished**" in text
    assert re.search(r"\| suite\.tasks=\['STS12'\] \| failed \| suite=custom: no task could be scored", text)
    # three models on either of two lists of tasks
    assert re.search(r"- Scores: \d/12, of 6 models", text)
    assert "**3/12 scores are failed**" in text
    assert re.search(
        r"\| its data could not be loaded: [^|]* \| M2V [^|]*SimLex999WordSim'\][^|]* \| 1 \| STS12 \|", text
    )
    assert "scores are missing" not in text
    assert re.search(r"\| M2V all-MiniLM-L6-v2 16d sif suite\.tasks=\['STS12', 'SimLex999WordSim'\] \| ", text)
    assert "| Model | Avg (1/2) |" in text


def test_run_is_reported_like_a_sweep_of_one_job(home: Path, tmp_path: Path):
    (run,) = (home / "results" / "runs").iterdir()
    assert report(home, str(run)).returncode == 0
    text = text_of(home / "results" / "reports" / f"{run.name}.html")
    assert text.startswith(f"# Run {run.name}\n")
    assert "- Run: 1/1 finished" in text
    assert "| pca dims | 16 |" in text
    assert f"python -m m2v_bench pca_dims=16 '{TASKS}'" in text
    assert f"{run.name}-speed.svg" in text
    record = json.loads((run / "record.json").read_text())
    for score in record["scores"]:  # as if the data of one task were missing
        if score["task"] == "WordSim353WordSim":
            score |= {"main_score": None, "state": "missing", "reason": "not in hub: mteb/wordsim353"}
    there = tmp_path / "results" / "runs" / "gaps"
    there.mkdir(parents=True)
    (there / "record.json").write_text(json.dumps(record))
    assert report(tmp_path, "gaps").returncode == 0
    text = text_of(tmp_path / "results" / "reports" / "gaps.html")
    assert re.search(r"- Best static model: [^:]+: [\d.]+ over the 1/2 tasks that all models have", text)
    assert "3/6 scores are missing. 1 task of all 3 models: not in hub (WordSim353WordSim)." in text
    assert "1/2 tasks without a score of any model are not shown" in text
    assert "Failures" not in text


def test_sweep_over_several_settings_shows_their_effects(home: Path):
    overrides = ["pca_dims=16,32", "weighting=none,sif", "sweep.name=grid", TASKS, "suite=custom", "baseline=[]"]
    sweep = run_bench("-m", *overrides, "tracking=none", cwd=home)
    assert sweep.returncode == 0, sweep.stderr
    assert report(home, "grid").returncode == 0
    text = text_of(home / "results" / "reports" / "grid.html")
    assert re.search(r"\| pca_dims: 16 less 32 \| main effect \| -\d+\.\d\d \|", text)
    assert re.search(r"\| pca_dims: 16 × weighting: \w+ \| interaction \|", text)
    record = next((home / "results" / "sweeps" / "grid").glob("*/record.json"))
    record.rename(record.with_name("moved.json"))
    assert report(home, "grid").returncode == 0
    assert "Effects cannot be estimated: " in text_of(home / "results" / "reports" / "grid.html")
    record.with_name("moved.json").rename(record)


def test_unfinished_sweep(home: Path, tmp_path: Path):
    there = copied(home, tmp_path)
    folder = there / "results" / "sweeps" / "pca_dims"
    plan = json.loads((folder / "sweep.json").read_text())
    (folder / plan["jobs"][1] / "record.json").unlink()
    plan["keys"][plan["jobs"][2]] = "another"  # its settings have changed since it ran
    (folder / "sweep.json").write_text(json.dumps(plan))
    assert report(there, "pca_dims").returncode == 0
    text = text_of(there / "results" / "reports" / "pca_dims.html")
    assert "- Jobs: 1/3 finished; 2 unfinished, the report is of the other 1" in text
    assert "| pca_dims=32 | not finished | - |" in text
    assert "| pca_dims=none | not run again since its settings changed | - |" in text
    assert "M2V all-MiniLM-L6-v2 32d sif" not in text
    for job in plan["jobs"]:
        (folder / job / "record.json").unlink(missing_ok=True)
    nothing = report(there, "pca_dims")
    assert nothing.returncode == 1
    assert "none of its 3 jobs has ended yet" in nothing.stderr
    (folder / plan["jobs"][0] / "error.txt").write_text("no room <b>left</b> & more | than that")
    failed = report(there, "pca_dims")
    assert failed.returncode == 0, failed.stderr
    html = (there / "results" / "reports" / "pca_dims.html").read_text()
    assert "0/3 finished" in html
    assert "no room &lt;b&gt;left&lt;/b&gt; &amp; more" in html


def test_damaged_record_affects_only_its_job(home: Path, tmp_path: Path):
    there = copied(home, tmp_path)
    record = next((there / "results" / "sweeps" / "pca_dims").glob("pca_dims-16*/record.json"))
    record.write_text("{")
    assert report(there, "pca_dims").returncode == 0
    text = text_of(there / "results" / "reports" / "pca_dims.html")
    assert "- Jobs: 2/3 finished; 1 with failures" in text
    assert "record.json cannot be read; start the same command again" in text


def test_passwords_in_uris_are_hidden(home: Path, tmp_path: Path):
    there = copied(home, tmp_path)
    folder = there / "results" / "sweeps" / "pca_dims"
    plan = json.loads((folder / "sweep.json").read_text())
    plan["command"] += " tracking.uri=https://me:secret@server/x"
    (folder / "sweep.json").write_text(json.dumps(plan))
    for path in folder.glob("*/record.json"):
        record = json.loads(path.read_text())
        record["settings"]["tracking.uri"] = "https://me:secret@server/x"
        path.write_text(json.dumps(record))
    assert report(there, "pca_dims").returncode == 0
    html = (there / "results" / "reports" / "pca_dims.html").read_text()
    assert "secret" not in html
    assert html.count("https://me:***@server/x") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pca_dim"], "pca_dim: no such sweep or run. Did you mean pca_dims? Sweeps in results/sweeps: bad, "),
        (["x", "--results", "nowhere"], "There are no sweeps in nowhere/sweeps; --results DIR names another"),
        (["hub"], "hub: holds neither a sweep (sweep.json, or jobs with a record.json) nor a run (record.json)"),
        (["pca_dims", "--out", "hub"], "--out hub: must be the HTML page, NAME.html"),
        (["pca_dims", "--out", "page.md"], "--out page.md: must be the HTML page, NAME.html"),
        (["pca_dims", "--out", "file/page.html"], "--out file/page.html: cannot be written"),
        (["pca_dims", "--out", "folder.html"], "--out folder.html: is a folder"),
    ],
)
def test_invalid_arguments(home: Path, arguments: list[str], message: str):
    (home / "file").write_text("")
    (home / "folder.html").mkdir(exist_ok=True)
    done = report(home, *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_page_is_self_contained(page: Path, tmp_path: Path):
    alone = Path(shutil.copyfile(page, tmp_path / "page.html"))
    with visit() as seen:
        seen.open(alone)
        figures = seen.page.locator("figure svg")
        assert figures.count() == 2
        for number in range(2):
            box = figures.nth(number).bounding_box()
            assert box is not None and box["width"] > 600 and box["height"] > 300
            assert figures.nth(number).locator("text").count() > 5
        assert "GloVe 6B 50d" in (figures.nth(0).text_content() or "")
        ids = seen.page.evaluate("[...document.querySelectorAll('[id]')].map(node => node.id)")
        assert len(set(ids)) == len(ids)
        assert seen.page.evaluate(_BROKEN_REFERENCES) == []
        assert seen.requested == [alone.resolve().as_uri()]
        assert not seen.errors and not seen.failed


# broken references inside figures, and broken links
_BROKEN_REFERENCES = """[...document.querySelectorAll('use, a[href], [clip-path]')]
    .map(node => (node.getAttribute('clip-path') ?? node.getAttribute('href')).replace(/^url\\(|\\)$/g, ''))
    .filter(reference => !document.querySelector(reference))"""


def column(seen: Visit, table: int, number: int) -> list[str]:
    rows = seen.page.locator("table").nth(table).locator("tbody tr")
    return [rows.nth(row).locator("th, td").nth(number).inner_text() for row in range(rows.count())]


def numbers(texts: list[str]) -> list[float]:
    return [float(text.split()[0].replace(",", "")) for text in texts]


def test_tables_sort_by_mouse_and_keyboard(page: Path):
    with visit() as seen:
        seen.open(page)
        head = seen.page.locator("table").first.locator("thead th").nth(1)
        given = column(seen, 0, 1)
        assert head.get_attribute("aria-sort") == "none"
        head.get_by_role("button").click()
        assert head.get_attribute("aria-sort") == "descending"
        assert numbers(column(seen, 0, 1)) == sorted(numbers(given), reverse=True)
        seen.page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert numbers(column(seen, 0, 1)) == sorted(numbers(given))
        seen.page.keyboard.press("Space")
        assert head.get_attribute("aria-sort") == "none"
        assert column(seen, 0, 1) == given
        seen.page.keyboard.press("Shift+Tab")
        seen.page.keyboard.press("Enter")
        first = seen.page.locator("table").first.locator("thead th").first
        assert first.get_attribute("aria-sort") == "ascending"
        names = column(seen, 0, 0)
        assert names == sorted(names, key=lambda name: [int(w) if w.isdigit() else w for w in re.split(r"(\d+)", name)])
        assert not seen.errors


def test_figures_answer_to_the_pointer(page: Path):
    with visit(width=1200, height=900) as seen:
        seen.open(page)
        marks = seen.page.locator("figure").first.locator(".tip use")
        shown = seen.page.locator(".tip-text")
        marks.nth(1).hover()
        assert re.fullmatch(r"M2V all-MiniLM-L6-v2 \w+ sif: [\d.]+, 95 % interval [\d.]+ to [\d.]+", shown.inner_text())
        seen.page.mouse.move(5, 5)
        assert shown.count() == 0
        marks.nth(1).click()
        kept = shown.inner_text()
        marks.nth(0).hover()
        assert shown.count() == 2 and kept in shown.all_inner_texts()
        marks.nth(1).click()
        seen.page.mouse.move(5, 5)
        assert shown.count() == 0
        assert not seen.errors


def test_missing_values_sort_last_in_both_directions(home: Path, tmp_path: Path):
    there = copied(home, tmp_path)
    for path in (there / "results" / "sweeps" / "pca_dims").glob("*/record.json"):
        record = json.loads(path.read_text())
        for score in record["scores"]:
            if (score["task"], score["kind"]) == ("SimLex999WordSim", "static") and score["label"] == record["label"]:
                score |= {"main_score": None, "state": "failed", "reason": "no memory"}
        path.write_text(json.dumps(record))
    assert report(there, "pca_dims").returncode == 0
    with visit() as seen:
        seen.open(there / "results" / "reports" / "pca_dims.html")
        head = seen.page.get_by_role("region", name="tasks x models")
        button = head.locator("thead th").nth(2).get_by_role("button")
        for _ in range(2):
            button.click()
            texts = [row.locator("td").nth(1).inner_text() for row in head.locator("tbody tr").all()]
            missing = [text.startswith("-") for text in texts]
            assert True in missing and missing == sorted(missing), texts


@pytest.mark.parametrize("width", [320, 360, 768])
def test_small_screens_do_not_scroll_sideways(home: Path, page: Path, width: int):
    assert report(home, "bad").returncode == 0
    with visit(width=width, height=740) as seen:
        for file in (page, home / "results" / "reports" / "bad.html"):
            seen.open(file)
            for details in seen.page.locator("details").all():
                details.evaluate("node => node.open = true")
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            wide = seen.page.locator(".box").filter(has=seen.page.locator("table")).first
            assert wide.evaluate("box => getComputedStyle(box).overflowX") == "auto"
            sizes = seen.page.evaluate(_LETTER_HEIGHTS)
            assert min(sizes) > 5.5, sizes  # CSS pixels, the small print of figures


_LETTER_HEIGHTS = """[...document.querySelectorAll('figure svg text')].map(node => {
    const svg = node.ownerSVGElement;
    return parseFloat(getComputedStyle(node).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
})"""


def test_dark_mode_includes_figures(page: Path):
    with visit() as seen:
        seen.open(page)
        light, dark = [], []
        for scheme, colors in (("light", light), ("dark", dark)):
            seen.page.emulate_media(color_scheme=scheme)
            colors.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            colors.append(seen.page.locator("figure svg text").first.evaluate("node => getComputedStyle(node).fill"))
            colors.append(seen.page.locator("figure svg path").first.evaluate("node => getComputedStyle(node).fill"))
        assert light == ["rgb(255, 255, 255)", "rgb(34, 34, 34)", "rgb(255, 255, 255)"]
        assert dark == ["rgb(22, 25, 29)", "rgb(230, 230, 230)", "rgb(22, 25, 29)"]


def test_print_unfolds_details(page: Path, tmp_path: Path):
    with visit() as seen:
        seen.open(page)
        assert not seen.page.get_by_text("sif_coefficient", exact=True).is_visible()
        seen.print_to(tmp_path / "page.pdf")
        data = (tmp_path / "page.pdf").read_bytes()
        assert data.startswith(b"%PDF") and 2 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 12
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        breaks = "node => getComputedStyle(node).breakInside"
        assert {row.evaluate(breaks) for row in seen.page.locator("tr").all()[:20]} == {"avoid"}
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert seen.page.get_by_text("sif_coefficient", exact=True).is_visible()
        seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert not seen.page.locator("details").first.evaluate("node => node.open")
        # a table head with a button is not repeated on each sheet
        assert seen.page.locator("thead button").count() == 0
        # the page fits the width of A4
        seen.page.set_viewport_size({"width": 700, "height": 1000})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 700


def test_page_works_without_script(page: Path, tmp_path: Path):
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    with visit() as seen:
        seen.open(bare)
        assert seen.page.locator("thead th").first.inner_text() == "Model"
        assert seen.page.get_by_role("button").count() == 0
