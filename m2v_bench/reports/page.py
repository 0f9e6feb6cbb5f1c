"""Write the report of a sweep or a run (`m2v-bench report`): one page, made from stored results."""

import math
import shlex
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from m2v_bench.errors import BenchError
from m2v_bench.reports.daggers import Daggers
from m2v_bench.reports.document import Code, Document, Picture, Section, to_html, to_markdown
from m2v_bench.reports.figures import save
from m2v_bench.reports.grid import Grid
from m2v_bench.reports.outcome import outcome
from m2v_bench.reports.page_tables import (
    failed_scores,
    job_costs,
    job_settings,
    missing_scores,
    model_costs,
    shared_settings,
    speed_grid,
    task_scores,
)
from m2v_bench.reports.score_table import AVERAGE, ScoreTable
from m2v_bench.reports.summary import Summary, daggers_of, summarise, with_daggers
from m2v_bench.reports.sweep_figures import draw
from m2v_bench.reports.training_section import training_section
from m2v_bench.results.experiment import Experiment, JobResult, find_experiment
from m2v_bench.system.formatting import duration, masked

Effects = Callable[[Experiment], Sequence[Grid]]
"""Makes the tables of effects of a factorial sweep."""


def write_report(word: str, results: Path, out: Path | None = None, *, effects: Effects) -> list[Path]:
    """Write the report of a sweep or a run: an HTML page, a Markdown file and the figures of the latter.

    Args:
        word: the name of a sweep or run, or its folder.
        results: a results folder, or an exported table.
        out: the HTML file; None means reports/NAME.html in the folder, or beside the table.
        effects: makes the tables of effects of a factorial sweep.

    Returns:
        The written files, the page first.

    Raises:
        BenchError: when there is no such sweep, nothing in it has ended, or `out` cannot be written.
    """
    experiment = find_experiment(word, results)
    folder = experiment.results.parent if experiment.results.is_file() else experiment.results
    page = out or folder / "reports" / f"{experiment.name}.html"
    _check_out(page, given=out is not None)
    words = ["m2v-bench", "report", word]
    words += [] if results == Path("results") else ["--results", str(results)]
    words += [] if out is None else ["--out", str(out)]
    document = report(experiment, shlex.join(words), effects)
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
    """Check that the page can be written before anything is computed.

    Raises:
        BenchError: when it cannot.
    """
    name = f"--out {page}" if given else str(page)
    if page.suffix != ".html":
        raise BenchError(f"{name}: must be the HTML page, NAME.html; the Markdown file is written beside it as NAME.md")
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


def report(experiment: Experiment, command: str, effects: Effects) -> Document:
    """Make the report of a sweep or a run; `command` is the command that does so."""
    records = experiment.records
    summary = summarise(records) if records else None
    sections, lead = [], []
    if summary is not None:
        tested = daggers_of(summary, experiment.results)
        lead = outcome(summary, tested)
        sections += [_results(experiment, summary, tested), _effects(experiment, effects), _tasks(summary)]
        sections += [_speed(summary), training_section(records)]
    sections.append(Section("What was run", [job_settings(experiment)]))
    if summary is not None:
        sections.append(Section("Cost", [job_costs(experiment), model_costs(summary, experiment.results)]))
    sections.append(_failures(experiment, summary))
    sections.append(Section("To repeat it", _commands(experiment, command)))
    shared = "Settings" if experiment.kind == "run" else "Settings that all jobs share"
    sections.append(Section(shared, [shared_settings(experiment)], folded=True))
    title = f"{experiment.kind.capitalize()} {experiment.name}"
    return Document(title, _facts(experiment, summary), [section for section in sections if section.blocks], lead)


def _facts(experiment: Experiment, summary: Summary | None) -> list[tuple[str, str]]:
    n_jobs, n_ended = len(experiment.jobs), len(experiment.records)
    state = f"{experiment.n_finished}/{n_jobs} finished"
    if open_jobs := [job for job in experiment.jobs if job.record is None and job.error is None]:
        state += f"; {len(open_jobs)} unfinished, the report is of the other {n_ended}"
    if failed := [job for job in experiment.jobs if job.state.endswith("failed")]:
        state += f"; {len(failed)} with failures"
    facts = [("Jobs" if experiment.kind == "sweep" else "Run", state)]
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
        first, last = (datetime.fromtimestamp(time, UTC) for time in (min(times), max(times)))
        until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
        facts.append(("Run at", f"{first:%Y-%m-%d %H:%M} to {until} UTC"))
    if timed := [record.total_seconds for record in records if record.total_seconds is not None]:
        facts.append(("Time", f"{duration(sum(timed))} in {len(timed)} {'job' if len(timed) == 1 else 'jobs'}"))
    if machine := _machine(experiment):
        facts.append(("Machine", machine))
    versions = {f"{name} {version}": None for record in records for name, version in record.versions.items()}
    facts.append(("Versions", ", ".join(versions)))
    facts.append(("Signature", summary.signature))
    return facts


def _best(table: ScoreTable) -> str | None:
    """Name the best static model; by the tasks that all models have where no static model has all tasks."""
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


def _machine(experiment: Experiment) -> str:
    """Name the machines that the jobs ran on."""
    machines: dict[str, None] = {}
    for job in experiment.jobs:
        here = job.environment
        if "platform" in here and "processors" in here:
            gpu = f", {here['accelerator']}" if here.get("accelerator") else ""
            machines[f"{here['platform']}, {here['processors']} processors{gpu}"] = None
    return " and ".join(machines)


def _results(experiment: Experiment, summary: Summary, tested: Daggers) -> Section:
    axis = summary.records[0].settings.get("sweep.axis") if experiment.kind == "sweep" else None
    figures = draw(summary, axis, tested.errors)
    table = with_daggers(summary, tested, title="models x task types, main scores x 100, (n/N tasks)")
    pictures = [Picture(figure, str(figure.get_label()), end or "-scores") for end, figure in figures.items()]
    return Section("Results", [*pictures, table])


def _effects(experiment: Experiment, effects: Effects) -> Section:
    """Show main effects and interactions of the settings of a factorial sweep."""
    if experiment.kind == "run" or len(experiment.changed) < 2:
        return Section("Effects", [])
    try:
        return Section("Effects", list(effects(experiment)))
    except BenchError as error:
        return Section("Effects", [f"Effects cannot be estimated: {error}"])


def _tasks(summary: Summary) -> Section:
    return Section("Scores of each task", [task_scores(summary), *missing_scores(summary)])


def _speed(summary: Summary) -> Section:
    grid = speed_grid(summary)
    none = "No speed was measured, as other jobs ran on the machine."
    return Section("Speed", [none if grid is None else grid])


def _failures(experiment: Experiment, summary: Summary | None) -> Section:
    """List the jobs that failed or have not finished, and the failed scores, with reasons."""
    blocks: list[Any] = []
    bad = [job for job in experiment.jobs if job.state != "finished"]
    if bad:
        rows = [[experiment.title(job), job.state, masked(_reason(job))] for job in bad]
        blocks.append(
            Grid(["Job", "State", "Reason"], rows, title=f"{len(bad)}/{len(experiment.jobs)} jobs not finished")
        )
    if summary is not None and (grid := failed_scores(summary)) is not None:
        blocks.append(grid)
    return Section("Failures", blocks)


def _reason(job: JobResult) -> str:
    """Return why a job is not finished; failed scores have a table below."""
    if job.record is not None:
        return "in the table of scores below"
    return job.error or "-"


def _commands(experiment: Experiment, command: str) -> list[Any]:
    commits = {record.git_commit for record in experiment.records} - {"none"}
    blocks: list[Any] = []
    lines = []
    if len(commits) == 1:
        commit = commits.pop()
        lines += [f"git checkout {commit.rstrip('+')}", "make install", "source .venv/bin/activate"]
        if commit.endswith("+"):
            blocks.append("The files had been changed since the commit.")
    elif commits:
        blocks.append(f"The jobs ran at several commits: {', '.join(sorted(commits))}.")
    if experiment.command is not None:
        lines.append(masked(experiment.command))
    else:
        where = f": config.yaml in {experiment.jobs[0].folder}" + " and so on" * (len(experiment.jobs) > 1)
        blocks.append(
            "The command was not recorded; every job's settings are in its folder"
            f"{'' if experiment.results.is_file() else where}."
        )
    return [*blocks, Code("\n".join([*lines, command]))]
