"""`m2v-bench report`: one page that tells all of a sweep or a run, made of its files alone."""

import math
import shlex
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from m2v_bench.errors import BenchError
from m2v_bench.reports.document import Code, Document, Picture, Section, to_html, to_markdown
from m2v_bench.reports.figures import save
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.page_tables import (
    job_costs,
    job_settings,
    model_costs,
    not_scored,
    shared_settings,
    speed_grid,
    task_scores,
)
from m2v_bench.reports.score_table import AVERAGE, ScoreTable
from m2v_bench.reports.summary import Summary, marked_grid, summarise
from m2v_bench.reports.sweep_figures import draw
from m2v_bench.results.experiment import Experiment, JobResult, find_experiment
from m2v_bench.system.formatting import duration, masked

Effects = Callable[[Experiment], Sequence[Grid]]
"""From a factorial sweep to tables of its effects."""


def write_report(word: str, results: Path, out: Path | None = None, *, effects: Effects) -> list[Path]:
    """Write the report of a sweep or a run: an HTML page, the same in Markdown beside it, and the latter's figures.

    Args:
        word: the name of a sweep or run, or its folder.
        results: a results folder, or an exported table.
        out: the HTML file; None means reports/NAME.html in the folder, or beside the table.
        effects: makes the tables of effects of a factorial sweep.

    Returns:
        The files written, the page first.

    Raises:
        BenchError: when there is no such sweep, nothing in it has ended, or `out` cannot be written.
    """
    found = find_experiment(word, results)
    folder = found.results.parent if found.results.is_file() else found.results
    page = out or folder / "reports" / f"{found.name}.html"
    _check_out(page, given=out is not None)
    words = ["m2v-bench", "report", word]
    words += [] if results == Path("results") else ["--results", str(results)]
    words += [] if out is None else ["--out", str(out)]
    document = report(found, shlex.join(words), effects)
    files = [page, page.with_suffix(".md")]
    pictures = [block for section in document.sections for block in section.blocks if isinstance(block, Picture)]
    try:
        page.write_text(to_html(document), encoding="utf-8")
        files[1].write_text(to_markdown(document, page.stem), encoding="utf-8")
        for picture in pictures:
            files += save(picture.figure, page.with_name(page.stem + picture.ending))
    except OSError as error:
        raise BenchError(f"--out {page}: {error.strerror} ({error.filename})") from error
    return files


def _check_out(page: Path, *, given: bool) -> None:
    """Refuse what cannot be written before anything is computed."""
    name = f"--out {page}" if given else str(page)
    if page.suffix != ".html":
        raise BenchError(f"{name}: is to be the HTML page, NAME.html; the Markdown file goes beside it as NAME.md")
    if page.is_dir():
        raise BenchError(f"{name}: is a folder; name a file in it")
    try:
        page.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=page.parent):
            pass
    except OSError as error:
        raise BenchError(
            f"{name}: cannot be written ({error.strerror}); name a file that can be, with --out"
        ) from error


def report(found: Experiment, command: str, effects: Effects) -> Document:
    """What there is to tell of a sweep or a run; `command` makes the report again."""
    records = found.records
    summary = summarise(records) if records else None
    sections = [_failures(found, summary)]
    if summary is not None:
        sections += [_results(found, summary), _effects(found, effects), _tasks(summary), _speed(summary)]
    sections.append(Section("What was run", [job_settings(found)]))
    if summary is not None:
        sections.append(Section("Cost", [job_costs(found), model_costs(summary, found.results)]))
    sections.append(Section("To repeat it", _commands(found, command)))
    shared = "Settings" if found.kind == "run" else "Settings that all jobs share"
    sections.append(Section(shared, [shared_settings(found)], folded=True))
    title = f"{found.kind.capitalize()} {found.name}"
    return Document(title, _facts(found, summary), [each for each in sections if each.blocks])


def _facts(found: Experiment, summary: Summary | None) -> list[tuple[str, str]]:
    n_jobs, n_ended = len(found.jobs), len(found.records)
    state = f"{found.n_finished}/{n_jobs} finished"
    if open_jobs := [job for job in found.jobs if job.record is None and job.error is None]:
        state += f"; unfinished: {len(open_jobs)} to be made, this is the report of the {n_ended} that there are"
    if failed := [job for job in found.jobs if job.state.endswith("failed")]:
        state += f"; {len(failed)} with failures"
    facts = [("Jobs" if found.kind == "sweep" else "Run", state)]
    if summary is None:
        return facts
    table, records = summary.table, summary.records
    if (best := _best(table)) is not None:
        facts.append(("Best static model", best))
    n_there = sum(table.cells[label, AVERAGE].n for label in table.labels)
    n_all = sum(table.cells[label, AVERAGE].n_all for label in table.labels)
    facts.append(("Scores", f"{n_there}/{n_all}, of {len(table.labels)} models"))
    times = [time for record in records for time in (record.started, record.ended) if time is not None]
    if times:
        first, last = (datetime.fromtimestamp(each(times), UTC) for each in (min, max))
        until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
        facts.append(("Made", f"{first:%Y-%m-%d %H:%M} to {until} UTC"))
    if timed := [record.total_seconds for record in records if record.total_seconds is not None]:
        facts.append(("Time", f"{duration(sum(timed))} in {len(timed)} {'job' if len(timed) == 1 else 'jobs'}"))
    if machine := _machine(found):
        facts.append(("Machine", machine))
    versions = {f"{name} {version}": None for record in records for name, version in record.versions.items()}
    facts.append(("Versions", ", ".join(versions)))
    facts.append(("Signature", summary.signature))
    return facts


def _best(table: ScoreTable) -> str | None:
    """The best static model, by the tasks that all models have where none has all."""
    best = table.best_static(AVERAGE)
    if best is not None:
        kept = table.kept[best]
        of = "" if math.isnan(kept) else f", {100 * kept:.1f} % of its teacher"
        return f"{best}: {table.cells[best, AVERAGE].text}{of}"
    static = [label for label in table.labels if table.kinds[label] == "static" and label in table.common]
    if not static:
        return None
    best = max(static, key=lambda label: table.common[label])
    n_all = table.cells[best, AVERAGE].n_all
    return f"{best}: {100 * table.common[best]:.2f} over the {table.n_common}/{n_all} tasks that all models have"


def _machine(found: Experiment) -> str:
    """The machines that jobs ran on."""
    machines: dict[str, None] = {}
    for job in found.jobs:
        here = job.environment
        if "platform" in here and "processors" in here:
            gpu = f", {here['accelerator']}" if here.get("accelerator") else ""
            machines[f"{here['platform']}, {here['processors']} processors{gpu}"] = None
    return " and ".join(machines)


def _results(found: Experiment, summary: Summary) -> Section:
    axis = summary.records[0].settings.get("sweep.axis") if found.kind == "sweep" else None
    figures = draw(summary, axis)
    along = axis or (summary.changed[0] if len(summary.changed) == 1 else None)
    what = f"Average score against {along}" if along else "Average score of each model, the best one first"
    shows = {
        "": f"{what}. The numbers are in the table above.",
        "-types": f"The same by task type, each on a scale of its own, against {along}.",
        "-speed": "Average score against speed; a circle's area is the model's number of parameters, a bar spans the "
        "rounds. Left of and below a dashed line, another model is faster beyond the spread and scores as well, or "
        "better. The numbers are under Speed.",
    }
    table = marked_grid(summary, found.results, title="models x task types, main scores x 100, (n/N tasks)")
    return Section(
        "Results", [table, *(Picture(figures[end], shows[end], end or "-scores") for end in shows if end in figures)]
    )


def _effects(found: Experiment, effects: Effects) -> Section:
    """What each setting of a factorial sweep does, and what the settings do together."""
    if found.kind == "run" or len(found.changed) < 2:
        return Section("Effects", [])
    try:
        return Section("Effects", list(effects(found)))
    except BenchError as error:
        return Section("Effects", [f"Not told: {error}"])


def _tasks(summary: Summary) -> Section:
    missing = not_scored(summary, "missing")
    return Section("Scores of each task", [task_scores(summary), *([] if missing is None else [missing])])


def _speed(summary: Summary) -> Section:
    grid = speed_grid(summary)
    none = "No speed was measured: it is measured where no other job runs on the machine."
    return Section("Speed", [none if grid is None else grid])


def _failures(found: Experiment, summary: Summary | None) -> Section:
    """Jobs that have not ended well, and scores that are not there, each with the reason."""
    blocks: list[Any] = []
    bad = [job for job in found.jobs if job.state != "finished"]
    if bad:
        rows = [[found.title(job), job.state, masked(_reason(job))] for job in bad]
        blocks.append(Grid(["Job", "State", "Reason"], rows, title=f"{len(bad)}/{len(found.jobs)} jobs not finished"))
    if summary is not None and (grid := not_scored(summary, "failed")) is not None:
        blocks.append(grid)
    return Section("Failures", blocks)


def _reason(job: JobResult) -> str:
    """Why a job is not finished; its scores that failed are told in a table of their own."""
    if job.record is not None:
        return "in the table of scores below"
    return job.error or "-"


def _commands(found: Experiment, command: str) -> list[Any]:
    commits = {record.git_commit for record in found.records} - {"none"}
    blocks: list[Any] = []
    lines = []
    if len(commits) == 1:
        commit = commits.pop()
        lines += [f"git checkout {commit.rstrip('+')}", "make install", "source .venv/bin/activate"]
        if commit.endswith("+"):
            blocks.append("The files had been changed since the commit.")
    elif commits:
        blocks.append(f"The jobs ran at several commits: {', '.join(sorted(commits))}.")
    if found.command is not None:
        lines.append(masked(found.command))
    else:
        blocks.append(
            "The command was not recorded; config.yaml in each job's folder has all of its settings: "
            + ", ".join(str(job.folder) for job in found.jobs[:1])
            + (" and so on." if len(found.jobs) > 1 else ".")
        )
    return [*blocks, Code("\n".join([*lines, command]))]
