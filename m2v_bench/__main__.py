"""Run `python -m m2v_bench` through Hydra, with plain error messages."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from m2v_bench.system.packages import missing_extra
from m2v_bench.system.version import __version__

if TYPE_CHECKING:
    from omegaconf import DictConfig

# Errors of runs, printed at the end; Hydra would print a raised one again in its format.
_job_errors: list[str] = []

# The exit code of a sweep is the number of its failed jobs, limited as shells reserve higher codes.
_MAX_EXIT_CODE = 100


def _job(config: "DictConfig") -> None:
    from hydra.core.hydra_config import HydraConfig

    from m2v_bench.config.check import check
    from m2v_bench.config.messages import defect, explain
    from m2v_bench.results.jobs import Job

    output_dir = Path(HydraConfig.get().runtime.output_dir)
    try:
        if config.dry_run:
            from m2v_bench.doctor.dry_run import show_plan

            show_plan({"this run": Job([], config, output_dir, key="")}, "one run")
            shutil.rmtree(output_dir)
            return
        check(config)  # refuse bad settings before the imports of `run`, which take seconds
        from m2v_bench.runs.run import run

        run(config, output_dir)
    except Exception as error:
        if config.debug:
            raise
        _job_errors.append(explain(error, sys.argv[1:]) or defect(error))


def main() -> None:
    """Run the command line.

    Exits with 1 and one message on an error, and with the number of failed jobs after a sweep.
    """
    try:
        _main()
    except ModuleNotFoundError as error:
        if (message := missing_extra(error)) is None:
            raise
        print(message, file=sys.stderr)
        raise SystemExit(1) from None


def _main() -> None:
    import hydra

    from m2v_bench.config.compose import register, translate
    from m2v_bench.config.messages import defect, explain
    from m2v_bench.config.schema import conf_dir
    from m2v_bench.runs.sweep import failures, install
    from m2v_bench.system.interrupts import interruptible
    from m2v_bench.system.output import steady

    steady()
    register()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # raise errors to us instead of printing them
    debug = any(argument.lower() == "debug=true" for argument in sys.argv)
    if "--version" in sys.argv[1:]:
        print(f"m2v_bench {__version__}")
        return
    try:
        install()
        sys.argv[1:] = translate(sys.argv[1:])
        with interruptible():
            hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(_job)()
    except Exception as error:
        if debug:
            raise
        print(explain(error, sys.argv[1:]) or defect(error), file=sys.stderr)
        raise SystemExit(1) from None
    errors = _job_errors or failures
    if failures:
        print(f"{len(failures)} job(s) of the sweep failed:", file=sys.stderr)
    if errors:
        print("\n".join(errors), file=sys.stderr)
        raise SystemExit(min(len(errors), _MAX_EXIT_CODE))


if __name__ == "__main__":
    main()
