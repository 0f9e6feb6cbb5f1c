"""Verbs that run models."""

import argparse

from m2v_bench.verbs.common import Verbs, add_config_dir, add_format, add_out, add_results, say_written, show


def add_search(verbs: Verbs) -> None:
    """`m2v-bench search`."""
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
    add_config_dir(search)
    search.set_defaults(run=_search)


def _search(arguments: argparse.Namespace) -> None:
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose
    from m2v_bench.runs.search import search

    search(
        check(compose(arguments.words, arguments.config_dir)),
        name=arguments.name,
        trials=arguments.trials,
        tune=arguments.tune,
        coefficients=arguments.coefficients,
        dims=arguments.dims,
    ).show()


def add_speed(verbs: Verbs) -> None:
    """`m2v-bench speed`."""
    speed = verbs.add_parser("speed", help="texts per second, load time and memory of models, side by side")
    speed.add_argument(
        "models", nargs="*", metavar="MODEL", help="folder, name on the hub, asset or baseline, or LIBRARY:FOLDER with "
        "model2vec or sentence-transformers; none means the distilled default, both libraries and its baselines",
    )  # fmt: skip
    add_results(speed)
    speed.add_argument(
        "--texts", action="append", default=[], metavar="FILE", help=".txt, .csv, .tsv, .jsonl or .parquet; repeatable"
    )
    speed.add_argument("--column", default="text", metavar="NAME", help="column of the texts (text)")
    speed.add_argument("--threads", default=2, type=int, metavar="N", help="of the column beside one thread (2)")
    speed.add_argument("--rounds", default=5, type=int, metavar="N", help="over all models (5)")
    speed.add_argument("--cold-starts", default=5, type=int, metavar="N", help="fresh processes per model (5)")
    speed.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draw of texts (42)")
    add_format(speed)
    add_config_dir(speed)
    speed.set_defaults(run=_speed)


def _speed(arguments: argparse.Namespace) -> None:
    from m2v_bench.speed.benchmark import Plan
    from m2v_bench.speed.speed_command import speed

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
        show(grid, arguments.format)
    say_written(files)


def add_fidelity(verbs: Verbs) -> None:
    """`m2v-bench fidelity`."""
    fidelity = verbs.add_parser("fidelity", help="how much of their teacher's geometry the models of runs keep")
    fidelity.add_argument("runs", nargs="+", metavar="RUN", help="folder of a run or sweep, or name of a sweep")
    fidelity.add_argument(
        "--texts", required=True, metavar="FILE", help="a .txt file with one text a line, .csv, .parquet, or a dataset"
    )
    fidelity.add_argument("--column", default="text", metavar="NAME", help="of the texts (text)")
    fidelity.add_argument("--most", default=20_000, type=int, metavar="N", help="distinct texts to compare on (20000)")
    fidelity.add_argument("--seed", default=42, type=int, metavar="N", help="seed of the draw of texts (42)")
    fidelity.add_argument("--name", default="fidelity", help="of the files in --out (fidelity)")
    add_results(fidelity)
    add_out(fidelity)
    add_format(fidelity)
    fidelity.set_defaults(run=_fidelity)


def _fidelity(arguments: argparse.Namespace) -> None:
    from m2v_bench.runs.fidelity import fidelity

    grid = fidelity(
        arguments.runs,
        arguments.results,
        texts=arguments.texts,
        column=arguments.column,
        most=arguments.most,
        seed=arguments.seed,
    )
    show(grid, arguments.format)
    if arguments.out is not None:
        say_written(grid.write(arguments.out, arguments.name))


def add_reproduce(verbs: Verbs) -> None:
    """`m2v-bench reproduce`."""
    from m2v_bench.paper.reproduce import ITEMS

    reproduce = verbs.add_parser("reproduce", help="run an item of the paper on what can be had here")
    reproduce.add_argument("item", choices=ITEMS, help="which")
    reproduce.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="as of a run: launcher=joblib")
    reproduce.add_argument("--hub-dir", metavar="FOLDER", help="dataset repositories, instead of the hub")
    reproduce.add_argument("--data-dir", metavar="FOLDER", help="the WordSim, PEARL and classification sets")
    reproduce.add_argument("--corpus", metavar="FILE", help="texts that sif_counts and idf count tokens in")
    reproduce.add_argument("--dry-run", action="store_true", help="show what would be computed")
    reproduce.set_defaults(run=_reproduce)


def _reproduce(arguments: argparse.Namespace) -> None:
    from m2v_bench.paper.reproduce import reproduce

    reproduce(
        arguments.item,
        hub_dir=arguments.hub_dir,
        data_dir=arguments.data_dir,
        corpus=arguments.corpus,
        words=arguments.words,
        dry_run=arguments.dry_run,
    )
