"""Command-line interface of `m2v-bench`: a parser, and a short function per command."""

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2v_bench.errors import BenchError
from m2v_bench.reports.grid import FORMATS, Format, Grid
from m2v_bench.reports.signature import AGGREGATIONS
from m2v_bench.system.formatting import number_of
from m2v_bench.system.interrupts import interruptible
from m2v_bench.system.output import steady
from m2v_bench.system.packages import missing_extra
from m2v_bench.system.version import __version__

Parser = argparse.ArgumentParser
Arguments = argparse.Namespace

# Commands of version 0.1 and their replacements.
_FORMER = {
    "assets": ["fetch", "--list"],
    "published": ["paper", "published"],
    "verify": ["paper", "verify"],
    "ablations": ["paper", "ablations"],
    "reproduce": ["paper", "reproduce"],
}


@dataclass(frozen=True)
class Command:
    """A command of the program.

    Attributes:
        name: name as typed; two words for a subcommand.
        about: one-line description.
        example: valid arguments.
        run: function called with the parsed arguments.
        options: function that adds the options to the parser.
    """

    name: str
    about: str
    example: str
    run: Callable[[Arguments], None]
    options: Callable[[Parser], None]


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command; on failure, print a message and exit with 1."""
    steady()
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and argv[0] in _FORMER:
        current = _FORMER[argv[0]]
        print(f"m2v-bench {argv[0]} is now spelled m2v-bench {' '.join(current)}", file=sys.stderr)
        argv = [*current, *argv[1:]]
    if argv[:1] == ["run"]:
        _run(argv[1:])
        return
    arguments = _parse(_parser(), argv)
    try:
        with interruptible():
            arguments.run(arguments)
        sys.stdout.flush()
        if getattr(sys.stdout, "lost", False):  # the output of a command is its product
            raise SystemExit(1)
    except Exception as error:
        if os.environ.get("M2V_BENCH_DEBUG"):
            raise
        if isinstance(error, ModuleNotFoundError) and (message := missing_extra(error)) is not None:
            print(f"m2v-bench {arguments.command}: {message}", file=sys.stderr)
            raise SystemExit(1) from None
        print(error if isinstance(error, BenchError) else _unforeseen(error), file=sys.stderr)
        raise SystemExit(1) from None


def _run(overrides: Sequence[str]) -> None:
    """Hand over to `python -m m2v_bench`; its help and messages use that name."""
    from m2v_bench import __main__

    sys.argv = [str(__main__.__file__), *overrides]
    __main__.main()


def _unforeseen(error: Exception) -> str:
    from m2v_bench.config.messages import defect, explain

    message = explain(error, sys.argv[1:]) or defect(error)
    return message.replace("debug=true", "M2V_BENCH_DEBUG=1 in the environment")


def _parse(parser: Parser, argv: Sequence[str]) -> Arguments:
    """Parse like `parse_args`, but also accept positional arguments after options, which argparse rejects."""
    arguments, rest = parser.parse_known_args(argv)
    takes_models = arguments.command in ("compare", "speed")
    positional: list[str] = arguments.models if takes_models else getattr(arguments, "overrides", [])
    unknown = [argument for argument in rest if argument.startswith("-") or not (takes_models or "=" in argument)]
    if unknown or (rest and not (takes_models or hasattr(arguments, "overrides"))):
        parser.error(f"unrecognized arguments: {' '.join(unknown or rest)}")
    positional.extend(rest)
    if arguments.command == "fetch" and arguments.list and arguments.names:
        parser.error(f"--list takes no names: {' '.join(arguments.names)}")
    return arguments


def _parser() -> Parser:
    width = max(len(command.name) for _, command in _listed()) + 2
    lines = []
    for title, commands in COMMANDS.items():
        lines += ["", f"{title}:", *(f"  {command.name:<{width}}{command.about}" for command in commands)]
        if title == "models":
            lines.insert(-len(commands), f"  {'run':<{width}}distil, evaluate and log, as `python -m m2v_bench` does")
    parser = argparse.ArgumentParser(
        prog="m2v-bench",
        usage="m2v-bench COMMAND ...",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Distil, measure and compare static embedding models.",
        epilog="\n".join(
            [
                *lines[1:],
                "",
                "`m2v-bench COMMAND --help` shows the options of a command and an example.",
                "M2V_BENCH_DEBUG=1 in the environment shows tracebacks.",
            ]
        ),
    )
    parser.add_argument("--version", action="version", version=f"m2v_bench {__version__}")
    top = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", help=argparse.SUPPRESS, prog="m2v-bench"
    )
    top.add_parser("run", add_help=False)  # `main` hands it over to Hydra; here it completes and is an allowed command
    nested: dict[str, argparse._SubParsersAction[Parser]] = {}
    for _, command in _listed():
        name, _, below = command.name.partition(" ")
        if below and name not in nested:
            about = f"commands of `m2v-bench {name}`"
            nested[name] = top.add_parser(name, description=about).add_subparsers(
                dest=name, required=True, metavar="COMMAND", prog=f"m2v-bench {name}"
            )
        shown: dict[str, Any] = {"help": command.about} if below else {}  # top-level commands are listed in groups
        subparser = (nested[name] if below else top).add_parser(
            below or name,
            **shown,
            description=f"{command.about[0].upper()}{command.about[1:]}.",
            epilog=f"example:\n  m2v-bench {command.name} {command.example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.options(subparser)
        subparser.set_defaults(run=command.run)
    _complete(parser)
    return parser


def _listed() -> Iterator[tuple[str, Command]]:
    for title, commands in COMMANDS.items():
        for command in commands:
            yield title, command


def _complete(parser: Parser) -> None:
    """Answer completion requests of a shell."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete

        argcomplete.autocomplete(parser)


# Options shared by several commands


def _overrides(parser: Parser, example: str) -> None:
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help=f"settings of a run: {example}")
    _config_dir(parser)


def _config_dir(parser: Parser) -> None:
    parser.add_argument("--config-dir", metavar="FOLDER", help="folder of your own config files")


def _column(parser: Parser) -> None:
    parser.add_argument("--column", default="text", metavar="NAME", help="column of the texts (default: text)")


def _results(parser: Parser) -> None:
    parser.add_argument(
        "--results", default="results", type=Path, metavar="FOLDER", help="results_dir of the runs (default: results)"
    )


def _results_or_table(parser: Parser) -> None:
    parser.add_argument(
        "--results",
        default="results",
        type=Path,
        metavar="PATH",
        help="results_dir of the runs, or a file of `m2v-bench export` (default: results)",
    )


def _format(parser: Parser) -> None:
    parser.add_argument(
        "--format",
        type=lambda text: "md" if text == "markdown" else text,  # its name in version 0.1
        choices=FORMATS,
        default="terminal",
        help="format of the tables (default: terminal)",
    )


def _out(parser: Parser) -> None:
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="also write the tables to this folder")


def _seed(parser: Parser) -> None:
    parser.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draws (default: 42)")


def _say_written(paths: Sequence[Path]) -> None:
    print("".join(f"wrote {path}\n" for path in paths), end="", file=sys.stderr)


def _show(grid: Grid, style: Format) -> None:
    grid.show() if style == "terminal" else print(grid.render(style), end="")
    _say_notes([grid], style)


def _say_notes(grids: Sequence[Grid], style: Format) -> None:
    """Print the notes of tables to stderr if the format cannot hold them."""
    if style == "csv":
        print("\n".join(note for grid in grids for note in grid.notes), file=sys.stderr)


# Results


def _table_options(parser: Parser) -> None:
    _overrides(parser, "suite=mteb_eng_v2")
    _results_or_table(parser)
    parser.add_argument(
        "--models", action="append", default=[], metavar="NAME", help="only this model; * is a wildcard; repeatable"
    )
    parser.add_argument("--aggregation", choices=AGGREGATIONS, help="how to average (default: that of the suite)")
    parser.add_argument("--no-marks", action="store_true", help="skip the significance tests, which take seconds")
    _format(parser)


def _table(arguments: Arguments) -> None:
    from m2v_bench.config.check import typed
    from m2v_bench.config.compose import compose
    from m2v_bench.reports.results_table import results_grid
    from m2v_bench.runs.prepare import suite_of

    settings = typed(compose(arguments.overrides, arguments.config_dir))
    grid = results_grid(
        arguments.results,
        suite_of(settings),
        suite_name=settings.suite.name,
        aggregation=arguments.aggregation or settings.suite.aggregation,
        models=arguments.models,
        marks=not arguments.no_marks,
    )
    _show(grid, arguments.format)


def _compare_options(parser: Parser) -> None:
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="run folder, name or label or part of one, or name@revision/variant; or two sweeps",
    )
    _results_or_table(parser)
    parser.add_argument(
        "--against", type=Path, metavar="PATH", help="results or table of the second model or sweep, as last week's"
    )
    parser.add_argument(
        "--tasks", action="append", default=[], metavar="TASK", help="compare on this task only; repeatable"
    )
    _format(parser)
    _seed(parser)
    parser.add_argument("--replicates", default=2000, type=int, metavar="N", help="resamples per task (default: 2000)")
    parser.add_argument(
        "--confidence",
        default=0.95,
        type=float,
        metavar="LEVEL",
        help="confidence level of the intervals (default: 0.95)",
    )


def _compare(arguments: Arguments) -> None:
    from m2v_bench.reports.compare import compare
    from m2v_bench.reports.compare_sweeps import compare_sweeps, is_sweep

    options: dict[str, Any] = {
        "tasks": arguments.tasks,
        "replicates": arguments.replicates,
        "seed": arguments.seed,
        "confidence": arguments.confidence,
    }
    words, paths = arguments.models, [arguments.results, arguments.against or arguments.results]
    if len(words) == 2 and all(is_sweep(word, path) for word, path in zip(words, paths, strict=True)):
        grid = compare_sweeps(words, paths, **options)
    else:
        grid = compare(words, arguments.results, against=arguments.against, **options)
    _show(grid, arguments.format)


def _samples_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="run folder, name or label or part of one")
    parser.add_argument("task", metavar="TASK", help="name of a task, as STSBenchmark")
    _overrides(parser, "suite=mteb_eng_v2 hub_dir=FOLDER, as for the run")
    _results(parser)
    parser.add_argument("--most", type=int, default=10, metavar="N", help="samples to show (default: 10)")
    _format(parser)


def _samples(arguments: Arguments) -> None:
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose
    from m2v_bench.reports.worst_samples import worst_samples
    from m2v_bench.runs.prepare import suite_of

    overrides = arguments.overrides
    if not any(override.startswith("suite") for override in overrides):
        overrides = [*overrides, "suite=custom", f"suite.tasks=[{arguments.task}]"]
    settings = check(compose(overrides, arguments.config_dir))
    suite = suite_of(settings)
    _show(
        worst_samples(arguments.model, arguments.task, arguments.results, suite, most=arguments.most), arguments.format
    )


def _tasks_options(parser: Parser) -> None:
    parser.add_argument(
        "sweeps", nargs="*", metavar="SWEEP", help="sweeps or runs with the models (default: all distilled models)"
    )
    _results_or_table(parser)
    parser.add_argument("--most", type=int, metavar="N", help="choose up to N tasks (default: as many as it takes)")
    parser.add_argument(
        "--agreement", default=0.8, type=float, metavar="TAU", help="Kendall's tau-b that is enough (default: 0.8)"
    )
    _out(parser)
    parser.add_argument("--name", default="tasks", metavar="NAME", help="of the files in --out (default: tasks)")
    _format(parser)
    _seed(parser)


def _tasks(arguments: Arguments) -> None:
    from m2v_bench.reports.task_tables import task_tables

    tables = task_tables(
        arguments.sweeps,
        arguments.results,
        most=arguments.most,
        agreement=arguments.agreement,
        seed=arguments.seed,
    )
    for grid in (tables.profiles, tables.choice):
        _show(grid, arguments.format)
    if arguments.out is not None:
        _say_written(tables.write(arguments.out, arguments.name))


def _report_options(parser: Parser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="name of a sweep or run in the results, or its folder")
    _results_or_table(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the HTML page (default: reports/SWEEP.html in the results)"
    )


def _leaderboard_options(parser: Parser) -> None:
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        metavar="RESULTS",
        help="results_dir of runs, or files of `m2v-bench export` (default: results)",
    )
    parser.add_argument(
        "--models", action="append", default=[], metavar="NAME", help="only this model; * is a wildcard; repeatable"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the HTML page (default: leaderboard.html in the results)"
    )
    parser.add_argument(
        "--no-intervals", action="store_true", help="skip the bootstrap of the samples, which takes seconds"
    )
    parser.add_argument(
        "--serve", action="store_true", help="serve the page on this machine, and update it while runs go on"
    )
    parser.add_argument("--port", type=int, default=8765, metavar="N", help="of --serve (default: 8765; 0: any)")


def _leaderboard(arguments: Arguments) -> None:
    from m2v_bench.reports.leaderboard_page import serve, write_leaderboard

    paths = arguments.paths or [Path("results")]
    if arguments.serve:
        if arguments.out is not None:
            raise BenchError("--out: --serve writes no file; leave one of them out")

        def ready(address: str) -> None:
            print(f"{address} shows {', '.join(map(str, paths))}; Ctrl+C ends", flush=True)

        serve(paths, models=arguments.models, port=arguments.port, ready=ready)
        return
    page = write_leaderboard(paths, arguments.out, models=arguments.models, intervals=not arguments.no_intervals)
    print(f"wrote {page}")


def _export_options(parser: Parser) -> None:
    parser.add_argument(
        "experiment", nargs="?", metavar="EXPERIMENT", help="only this sweep or run: its name or folder (default: all)"
    )
    _results_or_table(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="default: EXPERIMENT.parquet, or results.parquet, in the results"
    )


def _export(arguments: Arguments) -> None:
    from m2v_bench.results.export import export

    written = export(arguments.results, arguments.out, arguments.experiment)
    print("".join(f"{note}\n" for note in written.notes), end="", file=sys.stderr)
    print(
        f"wrote {written.path}: {number_of(written.n_rows, 'score')} of {number_of(written.n_models, 'model')}, and "
        f"the records of {number_of(written.n_experiments, 'experiment')}"
    )


def _report(arguments: Arguments) -> None:
    from m2v_bench.paper.ablations import ablations
    from m2v_bench.reports.page import write_report
    from m2v_bench.results.experiment import Experiment

    def effects(sweep: Experiment) -> list[Grid]:
        return list(ablations(sweep).grids.values())

    for path in write_report(arguments.sweep, arguments.results, arguments.out, effects=effects):
        print(f"wrote {path}")


# Models


def _distill_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="sentence transformer: catalog name, hub name or folder")
    parser.add_argument("out", metavar="FOLDER", type=Path, help="output folder of the static model")
    _overrides(parser, "pca_dims=128 weighting=zipf_log")
    parser.add_argument("--force", action="store_true", help="write to a folder that is not empty")


def _distill(arguments: Arguments) -> None:
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose
    from m2v_bench.config.schema import conf_dir
    from m2v_bench.distillation.distill import describe, run_recipe
    from m2v_bench.errors import hydra_value
    from m2v_bench.models import recipe_of

    out: Path = arguments.out
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not arguments.force):
        raise BenchError(f"{out}: holds files; name another folder, or add --force to write into it")
    listed = (conf_dir() / "base_model" / f"{arguments.model}.yaml").is_file()
    base = f"base_model={arguments.model}" if listed else f"base_model.name={hydra_value(arguments.model)}"
    overrides = [base, *arguments.overrides, "tracking=none"]
    settings = check(compose(overrides, arguments.config_dir))
    recipe = recipe_of(settings)
    distillation = run_recipe(recipe, device=settings.device)
    distillation.model.save_pretrained(out)
    print(f"distilled {describe(recipe, distillation)}\nwrote {out}")


def _encode_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="static model: folder or name on the hub")
    parser.add_argument("file", metavar="FILE", help=".txt with one text per line, .csv, .tsv, .jsonl or .parquet")
    _column(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", help="the .npy file (default: FILE with suffix .npy)")
    parser.add_argument(
        "--precision",
        default="float32",
        metavar="TYPE",
        help="float32; int8, a quarter of the bytes; binary or ubinary, a bit per dimension (default: float32)",
    )


def _encode(arguments: Arguments) -> None:
    from m2v_bench.runs.encode_file import encode_file

    out = arguments.out or Path(arguments.file).with_suffix(".npy")
    array = encode_file(
        arguments.model, Path(arguments.file), out, column=arguments.column, precision=arguments.precision
    )
    unit = "bytes of signs" if arguments.precision.endswith("binary") else "dimensions"
    print(f"wrote {out}: {array.dtype}, {array.shape[0]:,} texts x {array.shape[1]} {unit}")


def _export_onnx_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="MODEL", help="static model: folder or name on the hub")
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: onnx/model.onnx in the model's folder")


def _export_onnx(arguments: Arguments) -> None:
    from m2v_bench.inference.static_model import StaticModel

    model = StaticModel.from_pretrained(arguments.model)
    folder = Path(arguments.model)
    if arguments.out is None and not folder.is_dir():
        raise BenchError(f"{arguments.model}: is not a folder to write into; name the file with --out FILE")
    out = arguments.out or folder / "onnx" / "model.onnx"
    model.to_onnx(out)
    print(f"wrote {out}: input_ids and attention_mask to {model.dims} dimensions")


def _init_options(parser: Parser) -> None:
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder")


def _init(arguments: Arguments) -> None:
    from m2v_bench.runs.init_project import init_project

    for path in init_project(arguments.folder):
        print(f"wrote {path}")
    folder = shlex.quote(str(arguments.folder))
    print(f"next:\n  cd {folder}\n  python run.py\n  python run.py +sweep=mine\nREADME.md says what is where")


def _push_options(parser: Parser) -> None:
    parser.add_argument("model", metavar="FOLDER", help="folder of a static model")
    parser.add_argument("repository", metavar="NAME", help="on the model hub: organisation/name")
    parser.add_argument("--private", action="store_true", help="make a new repository private")
    parser.add_argument("--token", help="access token (default: that of the hub login)")


def _push(arguments: Arguments) -> None:
    from m2v_bench.inference.static_model import StaticModel

    model = StaticModel.from_pretrained(arguments.model)
    print(model.push_to_hub(arguments.repository, private=arguments.private, token=arguments.token))


def _search_options(parser: Parser) -> None:
    _overrides(parser, "suite=mteb_eng_v2")
    parser.add_argument("--name", default="search", help="folder in results_dir/searches (default: search)")
    parser.add_argument("--trials", default=20, type=int, metavar="N", help="variants to score (default: 20)")
    parser.add_argument(
        "--tune",
        action="append",
        default=[],
        metavar="TASK",
        help="tune on this task; repeatable (default: every second task)",
    )
    parser.add_argument(
        "--coefficients",
        nargs=2,
        default=(1e-5, 1e-2),
        type=float,
        metavar=("LOW", "HIGH"),
        help="range of sif_coefficient (default: 1e-5 1e-2)",
    )
    parser.add_argument(
        "--dims",
        nargs=2,
        default=(16,),
        type=int,
        metavar=("LOW", "HIGH"),
        help="range of pca_dims (default: 16 to the dimensions of the base model)",
    )


def _search(arguments: Arguments) -> None:
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose
    from m2v_bench.runs.search import search

    search(
        check(compose(arguments.overrides, arguments.config_dir)),
        name=arguments.name,
        trials=arguments.trials,
        tune=arguments.tune,
        coefficients=arguments.coefficients,
        dims=arguments.dims,
    ).show()


def _speed_options(parser: Parser) -> None:
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="folder, name on the hub, asset or baseline, or LIBRARY:FOLDER with model2vec or sentence-transformers "
        "(default: the default distilled model, also run by both libraries, and its baselines)",
    )
    _results(parser)
    parser.add_argument(
        "--texts", action="append", default=[], metavar="FILE", help=".txt, .csv, .tsv, .jsonl or .parquet; repeatable"
    )
    _column(parser)
    parser.add_argument(
        "--threads", default=2, type=int, metavar="N", help="threads of multi-threaded passes (default: 2)"
    )
    parser.add_argument("--rounds", default=5, type=int, metavar="N", help="rounds over all models (default: 5)")
    parser.add_argument(
        "--cold-starts", default=5, type=int, metavar="N", help="fresh processes per model (default: 5)"
    )
    _seed(parser)
    _format(parser)
    _config_dir(parser)


def _speed(arguments: Arguments) -> None:
    from m2v_bench.speed.speed_command import speed
    from m2v_bench.speed.speed_record import Plan

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
    _say_written(files)


def _fidelity_options(parser: Parser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or sweep, or name of a sweep")
    parser.add_argument(
        "--texts", required=True, metavar="FILE", help=".txt with one text per line, .csv, .parquet, or a dataset"
    )
    _column(parser)
    parser.add_argument(
        "--most", default=20_000, type=int, metavar="N", help="maximum number of distinct texts (default: 20000)"
    )
    _seed(parser)
    parser.add_argument("--name", default="fidelity", help="name of the files in --out (default: fidelity)")
    _results(parser)
    _out(parser)
    _format(parser)


def _fidelity(arguments: Arguments) -> None:
    from m2v_bench.runs.fidelity import fidelity

    grid = fidelity(
        arguments.runs,
        arguments.results,
        texts=arguments.texts,
        column=arguments.column,
        most=arguments.most,
        seed=arguments.seed,
    )
    _show(grid, arguments.format)
    if arguments.out is not None:
        _say_written(grid.write(arguments.out, arguments.name))


# Data


def _fetch_options(parser: Parser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="assets (default: all that the default run needs)")
    parser.add_argument("--list", action="store_true", help="list the assets: name, source, licence, size, state")


def _fetch(arguments: Arguments) -> None:
    from m2v_bench.assets.fetch import catalog, fetch

    if arguments.list:
        _list_assets()
        return
    needed = [asset.name for asset in catalog().values() if asset.default]
    for name, folder in fetch(arguments.names or needed).items():
        print(f"{name}: {folder}")


def _list_assets() -> None:
    from rich.console import Console
    from rich.table import Table

    from m2v_bench.assets.fetch import catalog, state
    from m2v_bench.cache import cache_dir

    grid = Table(caption=f"cache: {cache_dir()}", caption_justify="left")
    for column in ("Name", "Content", "Source", "Licence", "MB", "State"):
        grid.add_column(column, justify="right" if column == "MB" else "left")
    for asset in catalog().values():
        grid.add_row(asset.name, asset.what, asset.source, asset.license, f"{asset.bytes / 1e6:.0f}", state(asset))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(grid)


def _bundle_options(parser: Parser) -> None:
    _overrides(parser, "suite=mteb_eng_v2")
    parser.add_argument("--out", metavar="FOLDER", help="output folder of the dataset repositories")


def _bundle(arguments: Arguments) -> None:
    from m2v_bench.config.check import typed
    from m2v_bench.config.compose import compose, take
    from m2v_bench.runs.prepare import suite_of
    from m2v_bench.tasks.bundle import bundle

    former, overrides = take(arguments.overrides, "out")
    if former:
        print(f"out={former} is now spelled --out {former}", file=sys.stderr)
    out = arguments.out or former
    if not out:
        raise BenchError("bundle needs --out FOLDER, the output folder of the dataset repositories")
    bundle(suite_of(typed(compose([*overrides, "hub_dir=null"], arguments.config_dir))), Path(out).expanduser())


def _doctor_options(parser: Parser) -> None:
    _overrides(parser, "suite=mteb_eng_v1 hub_dir=FOLDER")
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument("--full", action="store_true", help="also compare large datasets with mteb's statistics")
    compared.add_argument("--quick", action="store_true", help="compare no datasets")


def _doctor(arguments: Arguments) -> None:
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose
    from m2v_bench.doctor import doctor

    count = "all" if arguments.full else "none" if arguments.quick else "small"
    doctor(check(compose(arguments.overrides, arguments.config_dir)), count=count)


# The paper


def _published_options(parser: Parser) -> None:
    _format(parser)


def _published(arguments: Arguments) -> None:
    from m2v_bench.paper.published import published_grids, render_all

    grids = published_grids()
    print(render_all(grids, arguments.format), end="")
    _say_notes(grids, arguments.format)


def _verify_options(parser: Parser) -> None:
    parser.add_argument(
        "name", nargs="?", metavar="RUN", help="a run, by its folder or name, or a results folder (default: --results)"
    )
    _results_or_table(parser)
    parser.add_argument("--any-revision", action="store_true", help="also compare scores of other dataset revisions")
    _format(parser)


def _verify(arguments: Arguments) -> None:
    from m2v_bench.paper.verify import verify, verify_grid

    place, run = arguments.results, arguments.name
    if run is not None and Path(run).exists():
        place, run = Path(run), None
    verification = verify(place, run, any_revision=arguments.any_revision)
    _show(verify_grid(verification, title=f"{run or place} beside the published scores"), arguments.format)
    verification.judge()


def _ablations_options(parser: Parser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="name of a sweep, or its folder")
    _results_or_table(parser)
    _out(parser)
    _format(parser)
    _seed(parser)


def _ablations(arguments: Arguments) -> None:
    from m2v_bench.paper.ablations import ablations, write
    from m2v_bench.results.experiment import find_experiment

    sweep = find_experiment(arguments.sweep, arguments.results)
    effects = ablations(sweep, seed=arguments.seed)
    for grid in effects.grids.values():
        _show(grid, arguments.format)
    if arguments.out is not None:
        _say_written(write(effects, sweep.name, arguments.out))


def _reproduce_options(parser: Parser) -> None:
    from m2v_bench.paper.reproduce import ITEMS

    parser.add_argument("item", choices=ITEMS, help="part of the paper")
    _overrides(parser, "hub_dir=FOLDER data_dir=FOLDER corpus=FILE launcher=joblib dry_run=true")
    for option in ("--hub-dir", "--data-dir", "--corpus"):
        parser.add_argument(option, help=argparse.SUPPRESS)
    parser.add_argument("--dry-run", action="store_true", help=argparse.SUPPRESS)


def _reproduce(arguments: Arguments) -> None:
    from m2v_bench.paper.reproduce import reproduce

    overrides = list(arguments.overrides)
    for name in ("hub_dir", "data_dir", "corpus"):
        if (value := getattr(arguments, name)) is not None:
            option = f"--{name.replace('_', '-')}"
            print(f"{option} {value} is now spelled {name}={value}", file=sys.stderr)
            overrides.append(f"{name}={value}")
    if arguments.dry_run:
        print("--dry-run is now spelled dry_run=true", file=sys.stderr)
        overrides.append("dry_run=true")
    reproduce(arguments.item, overrides)


# Tracking and the shell


def _track_options(parser: Parser) -> None:
    parser.add_argument("action", choices=["rebuild"], help="log all runs that the store lacks")
    _results(parser)
    parser.add_argument("--tracker", choices=["mlflow", "wandb"], default="mlflow", help="store (default: mlflow)")
    parser.add_argument("--uri", default="sqlite:///mlflow.db", help="tracking URI (default: sqlite:///mlflow.db)")
    parser.add_argument("--experiment", default="m2v_bench", help="or wandb project (default: m2v_bench)")


def _track(arguments: Arguments) -> None:
    from m2v_bench.config.schema import TrackingConfig
    from m2v_bench.tracking.rebuild import rebuild

    config = TrackingConfig(name=arguments.tracker, uri=arguments.uri, experiment=arguments.experiment)
    n_runs, n_sweeps = rebuild(arguments.results, config)
    store = arguments.uri if arguments.tracker == "mlflow" else f"the project {arguments.experiment}"
    held = f"{number_of(n_runs, 'run')} of {arguments.results} and {number_of(n_sweeps, 'sweep')}"
    print(f"{store} holds {held}")


def _completion_options(parser: Parser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"], help="your shell")


def _completion(arguments: Arguments) -> None:
    from argcomplete.shell_integration import shellcode

    print(shellcode(["m2v-bench"], shell=arguments.shell))


COMMANDS = {
    "results": [
        Command(
            "table",
            "show a table of models x task types from result files",
            "suite=starter --results results",
            _table,
            _table_options,
        ),
        Command(
            "compare",
            "test which of several scored models is better",
            "M2V GloVe --results results",
            _compare,
            _compare_options,
        ),
        Command(
            "samples",
            "show the samples of a task that a model gets most wrong",
            "256d WordSim353WordSim --most 5",
            _samples,
            _samples_options,
        ),
        Command(
            "tasks",
            "show which tasks tell models apart, and the fewest that rank models as all tasks do",
            "pca_dims --results results",
            _tasks,
            _tasks_options,
        ),
        Command(
            "report",
            "write one page about a sweep or a run: tables, figures, cost, failures, commands",
            "pca_dims",
            _report,
            _report_options,
        ),
        Command(
            "leaderboard",
            "write one page with all models and scores, to sort, filter and compare",
            "results --out leaderboard.html",
            _leaderboard,
            _leaderboard_options,
        ),
        Command(
            "export",
            "write scores and records to one file that the other commands read in place of the folder",
            "pca_dims --out pca_dims.parquet",
            _export,
            _export_options,
        ),
    ],
    "models": [
        Command(
            "distill",
            "distil a static model from a sentence transformer",
            "all-MiniLM-L6-v2 my_model pca_dims=128",
            _distill,
            _distill_options,
        ),
        Command(
            "encode",
            "embed the texts of a file with a static model",
            "my_model texts.txt --out embeddings.npy",
            _encode,
            _encode_options,
        ),
        Command(
            "init",
            "write an example project: own data, an own weighting, a sweep",
            "my_project",
            _init,
            _init_options,
        ),
        Command(
            "export-onnx",
            "write a static model as an ONNX graph from token ids to embeddings",
            "my_model --out my_model.onnx",
            _export_onnx,
            _export_onnx_options,
        ),
        Command("push", "upload a static model to the model hub", "my_model organisation/name", _push, _push_options),
        Command(
            "search",
            "tune sif_coefficient and pca_dims on one half of a suite, and report on the other",
            "suite=starter --trials 20",
            _search,
            _search_options,
        ),
        Command(
            "speed",
            "measure texts per second, load time and memory of models side by side",
            "my_model model2vec:my_model",
            _speed,
            _speed_options,
        ),
        Command(
            "fidelity",
            "compare the embedding space of distilled models with that of their teacher",
            "pca_dims --texts sentences.txt",
            _fidelity,
            _fidelity_options,
        ),
    ],
    "data": [
        Command(
            "fetch", "download assets into the cache ahead of time, or list them", "--list", _fetch, _fetch_options
        ),
        Command(
            "bundle",
            "download the dataset repositories of a suite for a machine without a hub",
            "suite=mteb_eng_v2 --out bundle",
            _bundle,
            _bundle_options,
        ),
        Command(
            "doctor",
            "check data, models, disk, memory and time before a long run",
            "suite=starter",
            _doctor,
            _doctor_options,
        ),
    ],
    "paper": [
        Command(
            "paper published",
            "recompute the published tables from the official scores",
            "",
            _published,
            _published_options,
        ),
        Command(
            "paper verify",
            "compare the scores of a run with published scores; exit 1 if any differs, is missing, or none compares",
            "results",
            _verify,
            _verify_options,
        ),
        Command(
            "paper ablations",
            "show main effects and interactions in a factorial sweep, and test the paper's findings",
            "paper_ablations",
            _ablations,
            _ablations_options,
        ),
        Command(
            "paper reproduce",
            "run a part of the paper on the models and data available here",
            "main dry_run=true",
            _reproduce,
            _reproduce_options,
        ),
    ],
    "tracking": [
        Command(
            "track",
            "log runs to MLflow or wandb from their result files: `track rebuild`",
            "rebuild --results results",
            _track,
            _track_options,
        ),
    ],
    "shell": [
        Command(
            "completion",
            "print the completion script of a shell",
            'bash  # then: eval "$(m2v-bench completion bash)"',
            _completion,
            _completion_options,
        ),
    ],
}


if __name__ == "__main__":
    main()
