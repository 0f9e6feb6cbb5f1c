"""The console script `m2v-bench`: one short function per verb."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from m2v_bench import __version__
from m2v_bench.analysis.grid import FORMATS, Format, Grid
from m2v_bench.analysis.signature import AGGREGATIONS
from m2v_bench.errors import BenchError

_Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit with 1 and one message when it cannot be done."""
    arguments = _parse(_parser(), argv)
    try:
        arguments.run(arguments)
    except BenchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        raise SystemExit(130) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="m2v-bench",
        description="Assets and results of the bench. "
        "Experiments are run with `python -m m2v_bench` (its --help says how).",
    )
    parser.add_argument("--version", action="version", version=f"m2v_bench {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    _add_fetch(verbs)
    _add_assets(verbs)
    _add_compare(verbs)
    _add_table(verbs)
    _add_report(verbs)
    _add_bundle(verbs)
    _add_doctor(verbs)
    _add_published(verbs)
    _add_verify(verbs)
    _add_track(verbs)
    _add_search(verbs)
    _add_speed(verbs)
    _add_ablations(verbs)
    _add_fidelity(verbs)
    _add_reproduce(verbs)
    return parser


def _parse(parser: argparse.ArgumentParser, argv: Sequence[str] | None) -> argparse.Namespace:
    """As `parse_args`, and the words of a verb may also stand behind its options, which argparse leaves over."""
    arguments, later = parser.parse_known_args(argv)
    compared = arguments.verb in ("compare", "speed")
    words: list[str] = arguments.models if compared else getattr(arguments, "words", [])
    unknown = [word for word in later if word.startswith("-") or not (compared or "=" in word)]
    if unknown or (later and not (compared or hasattr(arguments, "words"))):
        parser.error(f"unrecognized arguments: {' '.join(unknown or later)}")
    words.extend(later)
    return arguments


def _add_config_dir(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--config-dir", metavar="DIR", help="folder of your own config files, as of a run")


def _add_fetch(verbs: _Verbs) -> None:
    fetch = verbs.add_parser("fetch", help="download assets into the cache ahead of time")
    fetch.add_argument(
        "names", nargs="*", metavar="NAME", help="asset names; none means all that the embedded default needs"
    )
    fetch.set_defaults(run=_fetch)


def _fetch(arguments: argparse.Namespace) -> None:
    from m2v_bench.assets import catalog, fetch

    needed = [asset.name for asset in catalog().values() if asset.default]
    for name, folder in fetch(arguments.names or needed).items():
        print(f"{name}: {folder}")


def _add_assets(verbs: _Verbs) -> None:
    assets = verbs.add_parser("assets", help="list assets: name, source, licence, size, state")
    assets.set_defaults(run=_assets)


def _assets(arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from m2v_bench.assets import catalog, state
    from m2v_bench.cache import cache_dir

    grid = Table(caption=f"cache: {cache_dir()}", caption_justify="left")
    for column in ("Name", "What", "Source", "Licence", "MB", "State"):
        grid.add_column(column, justify="right" if column == "MB" else "left")
    for asset in catalog().values():
        grid.add_row(asset.name, asset.what, asset.source, asset.license, f"{asset.bytes / 1e6:.0f}", state(asset))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(grid)


def _add_compare(verbs: _Verbs) -> None:
    compare = verbs.add_parser("compare", help="which of several scored models is better, and what is chance")
    compare.add_argument(
        "models", nargs="+", metavar="MODEL", help="run folder, name or label or part of one, or name@revision/variant"
    )
    _add_results(compare)
    compare.add_argument(
        "--tasks", action="append", default=[], metavar="TASK", help="compare on this task alone; repeatable"
    )
    _add_format(compare)
    compare.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draws (42)")
    compare.add_argument("--replicates", default=2000, type=int, metavar="N", help="resamples of each task (2000)")
    compare.add_argument("--confidence", default=0.95, type=float, metavar="SHARE", help="of the intervals (0.95)")
    compare.set_defaults(run=_compare)


def _compare(arguments: argparse.Namespace) -> None:
    from m2v_bench.analysis.compare import compare

    grid = compare(
        arguments.models,
        arguments.results,
        tasks=arguments.tasks,
        replicates=arguments.replicates,
        seed=arguments.seed,
        confidence=arguments.confidence,
    )
    _show(grid, arguments.format)


def _add_ablations(verbs: _Verbs) -> None:
    ablations = verbs.add_parser(
        "ablations", help="main effects and interactions in a factorial sweep; findings tested"
    )
    ablations.add_argument("sweep", metavar="SWEEP", help="name of a sweep, or its folder")
    _add_results(ablations)
    _add_format(ablations)
    ablations.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draws (42)")
    ablations.set_defaults(run=_ablations)


def _ablations(arguments: argparse.Namespace) -> None:
    from m2v_bench.analysis.ablations import ablations, write
    from m2v_bench.analysis.sweeps import sweep_folder

    found = ablations(arguments.sweep, arguments.results, seed=arguments.seed)
    for grid in found.grids.values():
        _show(grid, arguments.format)
    for path in write(found, sweep_folder(arguments.sweep, arguments.results).name, arguments.results):
        print(f"wrote {path}", file=sys.stderr)


def _add_fidelity(verbs: _Verbs) -> None:
    fidelity = verbs.add_parser("fidelity", help="how much of their teacher's geometry the models of runs keep")
    fidelity.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or sweep, or name of a sweep")
    fidelity.add_argument(
        "--texts", required=True, metavar="FILE", help="a .txt file with one text a line, .csv, .parquet, or a dataset"
    )
    fidelity.add_argument("--column", default="text", metavar="NAME", help="of the texts (text)")
    fidelity.add_argument("--most", default=20_000, type=int, metavar="N", help="distinct texts to compare on (20000)")
    fidelity.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draw of texts (42)")
    fidelity.add_argument("--name", default="fidelity", help="of the table in results_dir/tables (fidelity)")
    _add_results(fidelity)
    _add_format(fidelity)
    fidelity.set_defaults(run=_fidelity)


def _fidelity(arguments: argparse.Namespace) -> None:
    from m2v_bench.fidelity import fidelity

    grid = fidelity(
        arguments.runs,
        arguments.results,
        texts=arguments.texts,
        column=arguments.column,
        most=arguments.most,
        seed=arguments.seed,
    )
    _show(grid, arguments.format)
    for path in grid.write(arguments.results / "tables", arguments.name):
        print(f"wrote {path}", file=sys.stderr)


def _add_reproduce(verbs: _Verbs) -> None:
    from m2v_bench.reproduce import ITEMS

    reproduce = verbs.add_parser("reproduce", help="run an item of the paper on what can be had here")
    reproduce.add_argument("item", choices=ITEMS, help="which")
    reproduce.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="as of a run: launcher=joblib")
    reproduce.add_argument("--hub-dir", metavar="FOLDER", help="dataset repositories, instead of the hub")
    reproduce.add_argument("--data-dir", metavar="FOLDER", help="the WordSim, PEARL and classification sets")
    reproduce.add_argument("--corpus", metavar="FILE", help="texts that sif_counts and idf count tokens in")
    reproduce.add_argument("--dry-run", action="store_true", help="show what would be computed")
    reproduce.set_defaults(run=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> None:
    from m2v_bench.reproduce import reproduce

    reproduce(
        arguments.item,
        hub_dir=arguments.hub_dir,
        data_dir=arguments.data_dir,
        corpus=arguments.corpus,
        words=arguments.words,
        dry_run=arguments.dry_run,
    )


def _add_results(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--results", default="results", type=Path, metavar="DIR", help="results_dir of the runs (results)"
    )


def _add_bundle(verbs: _Verbs) -> None:
    bundle = verbs.add_parser("bundle", help="download a suite's dataset repositories for a machine without a hub")
    bundle.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="as of a run: suite=mteb_eng_v2 out=FOLDER")
    _add_config_dir(bundle)
    bundle.set_defaults(run=_bundle)


def _bundle(arguments: argparse.Namespace) -> None:
    from m2v_bench.compose import compose, take
    from m2v_bench.config import typed
    from m2v_bench.prepare import suite_of
    from m2v_bench.tasks.bundle import bundle

    out, words = take(arguments.words, "out")
    if not out:
        raise BenchError("bundle needs out=FOLDER: where the dataset repositories go")
    bundle(suite_of(typed(compose([*words, "hub_dir=null"], arguments.config_dir))), Path(out).expanduser())


def _add_doctor(verbs: _Verbs) -> None:
    doctor = verbs.add_parser("doctor", help="check before a long run: data, models, disk, memory, time")
    doctor.add_argument(
        "words", nargs="*", metavar="SETTING=VALUE", help="as of a run: suite=mteb_eng_v1 hub_dir=FOLDER"
    )
    compared = doctor.add_mutually_exclusive_group()
    compared.add_argument("--full", action="store_true", help="compare large datasets with mteb's statistics as well")
    compared.add_argument("--quick", action="store_true", help="compare none")
    _add_config_dir(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    from m2v_bench.compose import compose
    from m2v_bench.config import check
    from m2v_bench.doctor import doctor

    count = "all" if arguments.full else "none" if arguments.quick else "small"
    doctor(check(compose(arguments.words, arguments.config_dir)), count=count)


def _add_format(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--format", choices=FORMATS, default="terminal", help="default: %(default)s")


def _add_verify(verbs: _Verbs) -> None:
    verify = verbs.add_parser("verify", help="a run's scores beside the published ones; exit 1 unless all are green")
    verify.add_argument("folder", metavar="RUN", help="folder of a run, or a results folder")
    verify.add_argument("--any-revision", action="store_true", help="judge scores of other dataset revisions, too")
    _add_format(verify)
    verify.set_defaults(run=_verify)


def _verify(arguments: argparse.Namespace) -> None:
    from m2v_bench.analysis.verify import verify, verify_grid

    found = verify(Path(arguments.folder), any_revision=arguments.any_revision)
    _show(verify_grid(found, title=f"{arguments.folder} beside the published scores"), arguments.format)
    found.judge()


def _show(grid: Grid, style: Format) -> None:
    grid.show() if style == "terminal" else print(grid.render(style), end="")
    _say_notes([grid], style)


def _say_notes(grids: Sequence[Grid], style: Format) -> None:
    # a CSV file has no place for the signature
    if style == "csv":
        print("\n".join(note for grid in grids for note in grid.notes), file=sys.stderr)


def _add_table(verbs: _Verbs) -> None:
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
    _add_format(table)
    _add_config_dir(table)
    table.set_defaults(run=_table)


def _table(arguments: argparse.Namespace) -> None:
    from m2v_bench.analysis.results import results_grid
    from m2v_bench.compose import compose
    from m2v_bench.config import typed
    from m2v_bench.prepare import suite_of

    settings = typed(compose(arguments.words, arguments.config_dir))
    grid = results_grid(
        Path(arguments.results),
        suite_of(settings),
        suite_name=settings.suite.name,
        aggregation=arguments.aggregation or settings.suite.aggregation,
        models=arguments.models,
        marks=not arguments.no_marks,
    )
    _show(grid, arguments.format)


def _add_report(verbs: _Verbs) -> None:
    report = verbs.add_parser("report", help="one page of a sweep or a run: tables, figures, cost, failures, commands")
    report.add_argument("sweep", metavar="SWEEP", help="name of a sweep, or a run, in the results; or its folder")
    _add_results(report)
    report.add_argument("--out", type=Path, metavar="FILE", help="the HTML page (DIR/reports/SWEEP.html)")
    report.set_defaults(run=_report)


def _report(arguments: argparse.Namespace) -> None:
    from m2v_bench.analysis.sweep_report import write_report

    for path in write_report(arguments.sweep, arguments.results, arguments.out):
        print(f"wrote {path}")


def _add_published(verbs: _Verbs) -> None:
    published = verbs.add_parser("published", help="the published tables recomputed from the official scores")
    _add_format(published)
    published.set_defaults(run=_published)


def _published(arguments: argparse.Namespace) -> None:
    from m2v_bench.analysis.published import published_grids, render_all

    grids = published_grids()
    print(render_all(grids, arguments.format), end="")
    _say_notes(grids, arguments.format)


def _add_track(verbs: _Verbs) -> None:
    track = verbs.add_parser("track", help="MLflow: `track rebuild` logs all that results hold and the store lacks")
    track.add_argument("action", choices=["rebuild"], help="what to do")
    track.add_argument("--results", default="results", metavar="DIR", help="results_dir of the runs (results)")
    track.add_argument("--uri", default="sqlite:///mlflow.db", help="tracking URI (sqlite:///mlflow.db)")
    track.add_argument("--experiment", default="m2v_bench", help="MLflow experiment (m2v_bench)")
    track.set_defaults(run=_track)


def _track(arguments: argparse.Namespace) -> None:
    from m2v_bench.config import TrackingConfig
    from m2v_bench.tracking import rebuild

    config = TrackingConfig(name="mlflow", uri=arguments.uri, experiment=arguments.experiment)
    n_runs, n_sweeps = rebuild(Path(arguments.results), config)
    print(f"{arguments.uri} holds {n_runs} runs of {arguments.results}, {n_sweeps} sweeps above them")


def _add_search(verbs: _Verbs) -> None:
    search = verbs.add_parser(
        "search", help="tune weighting.coefficient and pca.dims on one half of a suite, report on the other"
    )
    search.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="settings of a run, as suite=mteb_eng_v2")
    search.add_argument("--name", default="search", help="folder in results_dir/searches (search)")
    search.add_argument("--trials", default=20, type=int, metavar="N", help="variants to score (20)")
    search.add_argument(
        "--tune", action="append", default=[], metavar="TASK", help="tune on this task; repeatable (every second one)"
    )
    search.add_argument(
        "--coefficients", nargs=2, default=(1e-5, 1e-2), type=float, metavar=("LOW", "HIGH"), help="(1e-5 1e-2)"
    )
    search.add_argument("--dims", nargs=2, default=(16,), type=int, metavar=("LOW", "HIGH"), help="(16 to all)")
    _add_config_dir(search)
    search.set_defaults(run=_search)


def _search(arguments: argparse.Namespace) -> None:
    from m2v_bench.compose import compose
    from m2v_bench.config import check
    from m2v_bench.search import search

    search(
        check(compose(arguments.words, arguments.config_dir)),
        name=arguments.name,
        trials=arguments.trials,
        tune=arguments.tune,
        coefficients=arguments.coefficients,
        dims=arguments.dims,
    ).show()


def _add_speed(verbs: _Verbs) -> None:
    speed = verbs.add_parser("speed", help="texts per second, load time and memory of models, side by side")
    speed.add_argument(
        "models", nargs="*", metavar="MODEL", help="folder, name on the hub, asset or baseline, or LIBRARY:FOLDER with "
        "model2vec or sentence-transformers; none means the distilled default, both libraries and its baselines",
    )  # fmt: skip
    speed.add_argument(
        "--results", default="results", type=Path, metavar="DIR", help="results_dir of the runs (results)"
    )
    speed.add_argument(
        "--texts", action="append", default=[], metavar="FILE", help=".txt, .csv, .tsv, .jsonl or .parquet; repeatable"
    )
    speed.add_argument("--column", default="text", metavar="NAME", help="column of the texts (text)")
    speed.add_argument("--threads", default=2, type=int, metavar="N", help="of the column beside one thread (2)")
    speed.add_argument("--rounds", default=5, type=int, metavar="N", help="over all models (5)")
    speed.add_argument("--cold-starts", default=5, type=int, metavar="N", help="fresh processes per model (5)")
    speed.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draw of texts (42)")
    _add_format(speed)
    _add_config_dir(speed)
    speed.set_defaults(run=_speed)


def _speed(arguments: argparse.Namespace) -> None:
    from m2v_bench.benchmark import speed
    from m2v_bench.evaluation.benchmark import Plan

    grids, files = speed(
        arguments.models,
        arguments.results,
        Plan(arguments.threads, arguments.rounds, arguments.cold_starts),
        texts=arguments.texts,
        column=arguments.column,
        seed=arguments.seed,
        config_dir=arguments.config_dir,
    )
    for number, grid in enumerate(grids):
        print(end="\n" * (number > 0))
        _show(grid, arguments.format)
    print("\n".join(f"wrote {path}" for path in files), file=sys.stderr)


if __name__ == "__main__":
    main()
