"""Verbs that make tables and pages of scores that are there, without running a model."""

import argparse
from pathlib import Path

from m2v_bench.reports.grid import Grid
from m2v_bench.reports.signature import AGGREGATIONS
from m2v_bench.verbs.common import Verbs, add_config_dir, add_format, add_out, add_results, say_notes, say_written, show


def add_compare(verbs: Verbs) -> None:
    """`m2v-bench compare`."""
    compare = verbs.add_parser("compare", help="which of several scored models is better, and what is chance")
    compare.add_argument(
        "models", nargs="+", metavar="MODEL", help="run folder, name or label or part of one, or name@revision/variant"
    )
    add_results(compare)
    compare.add_argument(
        "--tasks", action="append", default=[], metavar="TASK", help="compare on this task alone; repeatable"
    )
    add_format(compare)
    compare.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draws (42)")
    compare.add_argument("--replicates", default=2000, type=int, metavar="N", help="resamples of each task (2000)")
    compare.add_argument("--confidence", default=0.95, type=float, metavar="SHARE", help="of the intervals (0.95)")
    compare.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    from m2v_bench.reports.compare import compare

    grid = compare(
        arguments.models,
        arguments.results,
        tasks=arguments.tasks,
        replicates=arguments.replicates,
        seed=arguments.seed,
        confidence=arguments.confidence,
    )
    show(grid, arguments.format)


def add_table(verbs: Verbs) -> None:
    """`m2v-bench table`."""
    table = verbs.add_parser("table", help="models x task types, from result files, without running a model")
    table.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="as of a run: suite=mteb_eng_v2")
    table.add_argument(
        "--results", default="results", metavar="FOLDER", help="results_dir of the runs, default: results"
    )
    table.add_argument(
        "--models", action="append", default=[], metavar="NAME", help="this one only, * stands for anything; repeatable"
    )
    table.add_argument("--aggregation", choices=AGGREGATIONS, help="default: the suite's own")
    table.add_argument("--no-marks", action="store_true", help="do not test what is chance, which takes seconds")
    add_format(table)
    add_config_dir(table)
    table.set_defaults(run=_table)


def _table(arguments: argparse.Namespace) -> None:
    from m2v_bench.config.check import typed
    from m2v_bench.config.compose import compose
    from m2v_bench.reports.results_table import results_grid
    from m2v_bench.runs.prepare import suite_of

    settings = typed(compose(arguments.words, arguments.config_dir))
    grid = results_grid(
        Path(arguments.results),
        suite_of(settings),
        suite_name=settings.suite.name,
        aggregation=arguments.aggregation or settings.suite.aggregation,
        models=arguments.models,
        marks=not arguments.no_marks,
    )
    show(grid, arguments.format)


def add_report(verbs: Verbs) -> None:
    """`m2v-bench report`."""
    report = verbs.add_parser("report", help="one page of a sweep or a run: tables, figures, cost, failures, commands")
    report.add_argument("sweep", metavar="SWEEP", help="name of a sweep, or a run, in the results; or its folder")
    add_results(report)
    report.add_argument("--out", type=Path, metavar="FILE", help="the HTML page (DIR/reports/SWEEP.html)")
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> None:
    from m2v_bench.paper.ablations import ablations
    from m2v_bench.reports.page import write_report
    from m2v_bench.results.experiment import Experiment

    def effects(sweep: Experiment) -> list[Grid]:
        return list(ablations(str(sweep.folder), sweep.results_dir).grids.values())

    for path in write_report(arguments.sweep, arguments.results, arguments.out, effects=effects):
        print(f"wrote {path}")


def add_published(verbs: Verbs) -> None:
    """`m2v-bench published`."""
    published = verbs.add_parser("published", help="the published tables recomputed from the official scores")
    add_format(published)
    published.set_defaults(run=_published)


def _published(arguments: argparse.Namespace) -> None:
    from m2v_bench.paper.published import published_grids, render_all

    grids = published_grids()
    print(render_all(grids, arguments.format), end="")
    say_notes(grids, arguments.format)


def add_verify(verbs: Verbs) -> None:
    """`m2v-bench verify`."""
    verify = verbs.add_parser(
        "verify",
        help="a run's scores beside the published ones; exit 1 if one differs, a file is missing, or none compares",
    )
    verify.add_argument("folder", metavar="RUN", help="folder of a run, or a results folder")
    verify.add_argument("--any-revision", action="store_true", help="judge scores of other dataset revisions, too")
    add_format(verify)
    verify.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> None:
    from m2v_bench.paper.verify import verify, verify_grid

    found = verify(Path(arguments.folder), any_revision=arguments.any_revision)
    show(verify_grid(found, title=f"{arguments.folder} beside the published scores"), arguments.format)
    found.judge()


def add_ablations(verbs: Verbs) -> None:
    """`m2v-bench ablations`."""
    ablations = verbs.add_parser(
        "ablations", help="main effects and interactions in a factorial sweep; findings tested"
    )
    ablations.add_argument("sweep", metavar="SWEEP", help="name of a sweep, or its folder")
    add_results(ablations)
    add_out(ablations)
    add_format(ablations)
    ablations.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draws (42)")
    ablations.set_defaults(run=_ablations)


def _ablations(arguments: argparse.Namespace) -> None:
    from m2v_bench.paper.ablations import ablations, write
    from m2v_bench.results.sweeps import sweep_folder

    found = ablations(arguments.sweep, arguments.results, seed=arguments.seed)
    for grid in found.grids.values():
        show(grid, arguments.format)
    if arguments.out is not None:
        say_written(write(found, sweep_folder(arguments.sweep, arguments.results).name, arguments.out))


def add_track(verbs: Verbs) -> None:
    """`m2v-bench track`."""
    track = verbs.add_parser("track", help="MLflow: `track rebuild` logs all that results hold and the store lacks")
    track.add_argument("action", choices=["rebuild"], help="what to do")
    track.add_argument("--results", default="results", metavar="DIR", help="results_dir of the runs (results)")
    track.add_argument("--uri", default="sqlite:///mlflow.db", help="tracking URI (sqlite:///mlflow.db)")
    track.add_argument("--experiment", default="m2v_bench", help="MLflow experiment (m2v_bench)")
    track.set_defaults(run=_track)


def _track(arguments: argparse.Namespace) -> None:
    from m2v_bench.config.schema import TrackingConfig
    from m2v_bench.tracking import rebuild

    config = TrackingConfig(name="mlflow", uri=arguments.uri, experiment=arguments.experiment)
    n_runs, n_sweeps = rebuild(Path(arguments.results), config)
    print(f"{arguments.uri} holds {n_runs} runs of {arguments.results}, {n_sweeps} sweeps above them")
