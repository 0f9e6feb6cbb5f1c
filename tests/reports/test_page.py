"""`m2v-bench report` of real sweeps: what the page tells, and how it looks and behaves in a browser."""

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
    """A folder with a sweep that ended well, one in which jobs and scores failed, and a run."""
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


def report(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return processes.run("m2v_bench.cli", "report", *words, cwd=home)


@pytest.fixture(scope="module")
def page(home: Path) -> Path:
    """The report of the sweep that ended well."""
    made = report(home, "pca_dims")
    assert made.returncode == 0, made.stderr
    written = [home / line.removeprefix("wrote ") for line in made.stdout.splitlines()]
    assert [path.name for path in written[:2]] == ["pca_dims.html", "pca_dims.md"]
    assert all(path.is_file() for path in written)
    return written[0]


def copied(home: Path, target: Path) -> Path:
    """A copy of the results, to be changed."""
    shutil.copytree(home / "results", target / "results", ignore=shutil.ignore_patterns("model", ".locks"))
    return target


def text_of(page: Path) -> str:
    """The page's Markdown, which tells the same."""
    return page.with_suffix(".md").read_text(encoding="utf-8")


def test_the_report_tells_everything(home: Path, page: Path):
    told = text_of(page)
    assert "- Jobs: 3/3 finished" in told
    assert re.search(r"\| M2V all-MiniLM-L6-v2 32d sif \| [^|]*\(2/2\)", told)
    assert "| 1 | 16 | M2V all-MiniLM-L6-v2 16d sif |" in told
    assert re.search(r"\| pca_dims=none \| [\d.]+ \| [\d.]+ \| ", told)
    assert "Holm-corrected" in told
    assert re.search(r"3/3 jobs: prepare [\d.]+ s, distil [\d.]+ s \(forward passes [\d.]+ s\), evaluate ", told)
    assert re.search(r"\| GloVe 6B 50d \| 2/2 \| [\d.]+ \| [\d,]+ \| [\d,]+ \| [\d,]+ \|", told)
    assert "| sif_coefficient | 0.0001 |" in told
    assert "python -m m2v_bench +sweep=pca_dims pca_dims=16,32,none" in told
    assert told.rstrip().count("m2v-bench report pca_dims\n") == 1
    assert "suite custom (2 tasks); average over tasks (micro)" in told
    assert "Failures" not in told
    html = page.read_text(encoding="utf-8")
    for fact in ("3/3 finished", "Holm-corrected", "pca_dims=16,32,none", "sif_coefficient"):
        assert fact in html
    for picture in re.findall(r"\((pca_dims[^)]+\.(?:png|svg))\)", told):
        assert (page.parent / picture).is_file()
    assert len(set(re.findall(r"\((pca_dims[^)]+\.svg)\)", told))) == 2


def test_a_report_made_again_has_the_same_bytes(home: Path, page: Path):
    before = {path.name: path.read_bytes() for path in page.parent.glob("pca_dims*")}
    assert len(before) == 6
    assert report(home, "results/sweeps/pca_dims").returncode == 0
    after = {path.name: path.read_bytes() for path in page.parent.glob("pca_dims*")}
    command = b"m2v-bench report results/sweeps/pca_dims"
    assert {name: data.replace(command, b"m2v-bench report pca_dims") for name, data in after.items()} == before


def test_failures_are_told_with_their_reasons(home: Path):
    made = report(home, "bad")
    assert made.returncode == 0, made.stderr
    told = text_of(home / "results" / "reports" / "bad.html")
    assert "- Jobs: 1/3 finished; 2 with failures" in told
    assert "**2/3 jobs not finished**" in told
    assert re.search(r"\| suite\.tasks=\['STS12'\] \| failed \| suite=custom: no task could be scored", told)
    # of three models with each of two lists of tasks
    assert re.search(r"- Scores: \d/12, of 6 models", told)
    assert "**3/12 scores are failed**" in told
    assert re.search(
        r"\| its data could not be loaded: [^|]* \| M2V [^|]*SimLex999WordSim'\][^|]* \| 1 \| STS12 \|", told
    )
    assert "scores are missing" not in told
    assert re.search(r"\| M2V all-MiniLM-L6-v2 16d sif suite\.tasks=\['STS12', 'SimLex999WordSim'\] \| .*\(1/2\)", told)


def test_a_run_is_reported_like_a_sweep_of_one_job(home: Path, tmp_path: Path):
    (run,) = (home / "results" / "runs").iterdir()
    assert report(home, str(run)).returncode == 0
    told = text_of(home / "results" / "reports" / f"{run.name}.html")
    assert told.startswith(f"# Run {run.name}\n")
    assert "- Run: 1/1 finished" in told
    assert "| pca dims | 16 |" in told
    assert f"python -m m2v_bench pca_dims=16 '{TASKS}'" in told
    assert f"{run.name}-speed.svg" in told
    record = json.loads((run / "record.json").read_text())
    for score in record["scores"]:  # as if the data of one task had not been there
        if score["task"] == "WordSim353WordSim":
            score |= {"main_score": None, "state": "missing", "reason": "not in hub: mteb/wordsim353"}
    there = tmp_path / "results" / "runs" / "gaps"
    there.mkdir(parents=True)
    (there / "record.json").write_text(json.dumps(record))
    assert report(tmp_path, "gaps").returncode == 0
    told = text_of(tmp_path / "results" / "reports" / "gaps.html")
    assert re.search(r"- Best static model: [^:]+: [\d.]+ over the 1/2 tasks that all models have", told)
    assert "**3/6 scores are missing**" in told
    assert "| not in hub | all 3 | 1 | WordSim353WordSim |" in told
    assert "1/2 tasks without a score of any model are not shown" in told
    assert "Failures" not in told


def test_a_sweep_over_several_settings_tells_their_effects(home: Path):
    words = ["pca_dims=16,32", "weighting=none,sif", "sweep.name=grid", TASKS, "suite=custom", "baseline=[]"]
    sweep = run_bench("-m", *words, "tracking=none", cwd=home)
    assert sweep.returncode == 0, sweep.stderr
    assert report(home, "grid").returncode == 0
    told = text_of(home / "results" / "reports" / "grid.html")
    assert re.search(r"\| pca_dims: 16 less 32 \| main effect \| -\d+\.\d\d \|", told)
    assert re.search(r"\| pca_dims: 16 × weighting: \w+ \| interaction \|", told)
    record = next((home / "results" / "sweeps" / "grid").glob("*/record.json"))
    record.rename(record.with_name("moved.json"))
    assert report(home, "grid").returncode == 0
    assert "Effects cannot be estimated: " in text_of(home / "results" / "reports" / "grid.html")
    record.with_name("moved.json").rename(record)


def test_an_unfinished_sweep_says_so(home: Path, tmp_path: Path):
    there = copied(home, tmp_path)
    folder = there / "results" / "sweeps" / "pca_dims"
    plan = json.loads((folder / "sweep.json").read_text())
    (folder / plan["jobs"][1] / "record.json").unlink()
    plan["keys"][plan["jobs"][2]] = "another"  # its settings have changed since it was made
    (folder / "sweep.json").write_text(json.dumps(plan))
    assert report(there, "pca_dims").returncode == 0
    told = text_of(there / "results" / "reports" / "pca_dims.html")
    assert "- Jobs: 1/3 finished; 2 unfinished, the report is of the other 1" in told
    assert "| pca_dims=32 | not finished | - |" in told
    assert "| pca_dims=none | not run again since its settings changed | - |" in told
    assert "M2V all-MiniLM-L6-v2 32d sif" not in told
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


def test_a_damaged_record_costs_its_job_alone(home: Path, tmp_path: Path):
    there = copied(home, tmp_path)
    record = next((there / "results" / "sweeps" / "pca_dims").glob("pca_dims-16*/record.json"))
    record.write_text("{")
    assert report(there, "pca_dims").returncode == 0
    told = text_of(there / "results" / "reports" / "pca_dims.html")
    assert "- Jobs: 2/3 finished; 1 with failures" in told
    assert "record.json cannot be read; start the same command again" in told


def test_passwords_in_addresses_are_not_shown(home: Path, tmp_path: Path):
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
    ("words", "message"),
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
def test_bad_input_is_told(home: Path, words: list[str], message: str):
    (home / "file").write_text("")
    (home / "folder.html").mkdir(exist_ok=True)
    made = report(home, *words)
    assert made.returncode == 1
    assert message in made.stderr
    assert "Traceback" not in made.stderr


def test_the_page_opens_alone_with_all_its_figures(page: Path, tmp_path: Path):
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
        ids = seen.page.evaluate("[...document.querySelectorAll('[id]')].map(each => each.id)")
        assert len(set(ids)) == len(ids)
        assert seen.page.evaluate(_BROKEN_REFERENCES) == []
        assert seen.requested == [alone.resolve().as_uri()]
        assert not seen.errors and not seen.failed


# references inside figures that lead nowhere, and links that do
_BROKEN_REFERENCES = """[...document.querySelectorAll('use, a[href], [clip-path]')]
    .map(each => (each.getAttribute('clip-path') ?? each.getAttribute('href')).replace(/^url\\(|\\)$/g, ''))
    .filter(reference => !document.querySelector(reference))"""


def column(seen: Visit, table: int, number: int) -> list[str]:
    rows = seen.page.locator("table").nth(table).locator("tbody tr")
    return [rows.nth(row).locator("th, td").nth(number).inner_text() for row in range(rows.count())]


def numbers(texts: list[str]) -> list[float]:
    return [float(text.split()[0].replace(",", "")) for text in texts]


def test_tables_sort_by_click_and_by_key_and_back(page: Path):
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


def test_what_is_missing_comes_last_either_way(home: Path, tmp_path: Path):
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
def test_nothing_makes_a_small_screen_scroll_sideways(home: Path, page: Path, width: int):
    assert report(home, "bad").returncode == 0
    with visit(width=width, height=740) as seen:
        for each in (page, home / "results" / "reports" / "bad.html"):
            seen.open(each)
            for details in seen.page.locator("details").all():
                details.evaluate("each => each.open = true")
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            wide = seen.page.locator(".box").filter(has=seen.page.locator("table")).first
            assert wide.evaluate("box => getComputedStyle(box).overflowX") == "auto"
            sizes = seen.page.evaluate(_LETTER_HEIGHTS)
            assert min(sizes) > 5.5, sizes  # CSS pixels, the small print of figures


_LETTER_HEIGHTS = """[...document.querySelectorAll('figure svg text')].map(each => {
    const svg = each.ownerSVGElement;
    return parseFloat(getComputedStyle(each).fontSize) * svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
})"""


def test_the_dark_page_is_dark_figures_included(page: Path):
    with visit() as seen:
        seen.open(page)
        light, dark = [], []
        for scheme, found in (("light", light), ("dark", dark)):
            seen.page.emulate_media(color_scheme=scheme)
            found.append(seen.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            found.append(seen.page.locator("figure svg text").first.evaluate("each => getComputedStyle(each).fill"))
            found.append(seen.page.locator("figure svg path").first.evaluate("each => getComputedStyle(each).fill"))
        assert light == ["rgb(255, 255, 255)", "rgb(34, 34, 34)", "rgb(255, 255, 255)"]
        assert dark == ["rgb(22, 25, 29)", "rgb(230, 230, 230)", "rgb(22, 25, 29)"]


def test_paper_shows_what_is_folded_on_the_screen(page: Path, tmp_path: Path):
    with visit() as seen:
        seen.open(page)
        assert not seen.page.get_by_text("sif_coefficient", exact=True).is_visible()
        seen.print_to(tmp_path / "page.pdf")
        data = (tmp_path / "page.pdf").read_bytes()
        assert data.startswith(b"%PDF") and 2 <= len(re.findall(rb"/Type\s*/Page\b", data)) <= 12
        seen.page.emulate_media(media="print", color_scheme="dark")
        assert seen.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        breaks = "each => getComputedStyle(each).breakInside"
        assert {row.evaluate(breaks) for row in seen.page.locator("tr").all()[:20]} == {"avoid"}
        seen.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert seen.page.get_by_text("sif_coefficient", exact=True).is_visible()
        seen.page.evaluate("dispatchEvent(new Event('afterprint'))")
        assert not seen.page.locator("details").first.evaluate("each => each.open")
        assert seen.page.locator("thead button").count() == 0  # with one in it, a head is not printed on each sheet
        # nothing sticks out of a sheet of A4
        seen.page.set_viewport_size({"width": 700, "height": 1000})
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 700


def test_the_page_reads_without_its_script(page: Path, tmp_path: Path):
    bare = tmp_path / "bare.html"
    bare.write_text(re.sub(r"<script>.*?</script>", "", page.read_text(encoding="utf-8"), flags=re.DOTALL))
    with visit() as seen:
        seen.open(bare)
        assert seen.page.locator("thead th").first.inner_text() == "Model"
        assert seen.page.get_by_role("button").count() == 0
