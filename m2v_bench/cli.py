"""The console script `m2v-bench`: one short function per verb."""

import argparse
import sys
from collections.abc import Sequence

from m2v_bench import __version__
from m2v_bench.errors import BenchError


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit with 1 and one message when it cannot be done."""
    parser = argparse.ArgumentParser(
        prog="m2v-bench",
        description="Assets of the bench. Experiments are run with `python -m m2v_bench` (its --help says how).",
    )
    parser.add_argument("--version", action="version", version=f"m2v_bench {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    fetch = verbs.add_parser("fetch", help="download assets into the cache ahead of time")
    fetch.add_argument(
        "names", nargs="*", metavar="NAME", help="asset names; none means all that the embedded default needs"
    )
    fetch.set_defaults(run=_fetch)
    assets = verbs.add_parser("assets", help="list assets: name, source, licence, size, state")
    assets.set_defaults(run=_assets)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except BenchError as error:
        print(error, file=sys.stderr)
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        raise SystemExit(130) from None


def _fetch(arguments: argparse.Namespace) -> None:
    from m2v_bench.assets import catalog, fetch

    needed = [asset.name for asset in catalog().values() if asset.default]
    for name, folder in fetch(arguments.names or needed).items():
        print(f"{name}: {folder}")


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


if __name__ == "__main__":
    main()
