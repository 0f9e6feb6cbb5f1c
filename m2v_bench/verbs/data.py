"""Verbs about what experiments need: assets, dataset repositories, and whether all of it is there."""

import argparse
from pathlib import Path

from m2v_bench.errors import BenchError
from m2v_bench.verbs.common import Verbs, add_config_dir


def add_fetch(verbs: Verbs) -> None:
    """`m2v-bench fetch`."""
    fetch = verbs.add_parser("fetch", help="download assets into the cache ahead of time")
    fetch.add_argument(
        "names", nargs="*", metavar="NAME", help="asset names; none means all that the embedded default needs"
    )
    fetch.set_defaults(run=_fetch)


def _fetch(arguments: argparse.Namespace) -> None:
    from m2v_bench.assets.fetch import catalog, fetch

    needed = [asset.name for asset in catalog().values() if asset.default]
    for name, folder in fetch(arguments.names or needed).items():
        print(f"{name}: {folder}")


def add_assets(verbs: Verbs) -> None:
    """`m2v-bench assets`."""
    assets = verbs.add_parser("assets", help="list assets: name, source, licence, size, state")
    assets.set_defaults(run=_assets)


def _assets(arguments: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from m2v_bench.assets.fetch import catalog, state
    from m2v_bench.cache import cache_dir

    grid = Table(caption=f"cache: {cache_dir()}", caption_justify="left")
    for column in ("Name", "What", "Source", "Licence", "MB", "State"):
        grid.add_column(column, justify="right" if column == "MB" else "left")
    for asset in catalog().values():
        grid.add_row(asset.name, asset.what, asset.source, asset.license, f"{asset.bytes / 1e6:.0f}", state(asset))
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(grid)


def add_bundle(verbs: Verbs) -> None:
    """`m2v-bench bundle`."""
    bundle = verbs.add_parser("bundle", help="download a suite's dataset repositories for a machine without a hub")
    bundle.add_argument("words", nargs="*", metavar="SETTING=VALUE", help="as of a run: suite=mteb_eng_v2 out=FOLDER")
    add_config_dir(bundle)
    bundle.set_defaults(run=_bundle)


def _bundle(arguments: argparse.Namespace) -> None:
    from m2v_bench.config.check import typed
    from m2v_bench.config.compose import compose, take
    from m2v_bench.runs.prepare import suite_of
    from m2v_bench.tasks.bundle import bundle

    out, words = take(arguments.words, "out")
    if not out:
        raise BenchError("bundle needs out=FOLDER: where the dataset repositories go")
    bundle(suite_of(typed(compose([*words, "hub_dir=null"], arguments.config_dir))), Path(out).expanduser())


def add_doctor(verbs: Verbs) -> None:
    """`m2v-bench doctor`."""
    doctor = verbs.add_parser("doctor", help="check before a long run: data, models, disk, memory, time")
    doctor.add_argument(
        "words", nargs="*", metavar="SETTING=VALUE", help="as of a run: suite=mteb_eng_v1 hub_dir=FOLDER"
    )
    compared = doctor.add_mutually_exclusive_group()
    compared.add_argument("--full", action="store_true", help="compare large datasets with mteb's statistics as well")
    compared.add_argument("--quick", action="store_true", help="compare none")
    add_config_dir(doctor)
    doctor.set_defaults(run=_doctor)


def _doctor(arguments: argparse.Namespace) -> None:
    from m2v_bench.config.check import check
    from m2v_bench.config.compose import compose
    from m2v_bench.doctor import doctor

    count = "all" if arguments.full else "none" if arguments.quick else "small"
    doctor(check(compose(arguments.words, arguments.config_dir)), count=count)
