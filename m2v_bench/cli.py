"""The console script `m2v-bench`; its verbs are in `m2v_bench/verbs/`."""

import argparse
import os
import sys
from collections.abc import Sequence

from m2v_bench.errors import BenchError
from m2v_bench.system.interrupts import interruptible
from m2v_bench.system.output import steady
from m2v_bench.system.version import __version__
from m2v_bench.verbs import data, run_commands, scores


def main(argv: Sequence[str] | None = None) -> None:
    """Run one verb; exit with 1 and one message when it cannot be done."""
    steady()
    arguments = _parse(_parser(), argv)
    try:
        with interruptible():
            arguments.run(arguments)
        sys.stdout.flush()
        if getattr(sys.stdout, "lost", False):  # a command's product, not the report of a run
            raise SystemExit(1)
    except Exception as error:
        if os.environ.get("M2V_BENCH_DEBUG"):
            raise
        print(error if isinstance(error, BenchError) else _unforeseen(error), file=sys.stderr)
        raise SystemExit(1) from None


def _unforeseen(error: Exception) -> str:
    from m2v_bench.config.messages import defect, explain

    message = explain(error, sys.argv[1:]) or defect(error)
    return message.replace("debug=true", "M2V_BENCH_DEBUG=1 in the environment")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="m2v-bench",
        description="Assets and results of the bench. "
        "Experiments are run with `python -m m2v_bench` (its --help says how).",
    )
    parser.add_argument("--version", action="version", version=f"m2v_bench {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    data.add_fetch(verbs)
    data.add_assets(verbs)
    scores.add_compare(verbs)
    scores.add_table(verbs)
    scores.add_report(verbs)
    data.add_bundle(verbs)
    data.add_doctor(verbs)
    scores.add_published(verbs)
    scores.add_verify(verbs)
    scores.add_track(verbs)
    run_commands.add_search(verbs)
    run_commands.add_speed(verbs)
    scores.add_ablations(verbs)
    run_commands.add_fidelity(verbs)
    run_commands.add_reproduce(verbs)
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


if __name__ == "__main__":
    main()
