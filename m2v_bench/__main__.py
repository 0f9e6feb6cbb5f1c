"""`python -m m2v_bench`: hands over to Hydra, and says in plain words what went wrong."""

import os
import shutil
import sys
from pathlib import Path

from omegaconf import DictConfig

# Errors of jobs are kept here and told at the end: raised, Hydra would print them again in its own words.
_job_errors: list[str] = []

# The exit code of a sweep is the number of its failed jobs; codes above this one have other meanings to shells.
_MOST = 100


def _job(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from m2v_bench.jobs import Job, any_failed, write_error
    from m2v_bench.messages import explain
    from m2v_bench.run import run

    hydra_config = HydraConfig.get()
    output_dir = Path(hydra_config.runtime.output_dir)
    sweep_dir = Path(hydra_config.sweep.dir) if hydra_config.mode == RunMode.MULTIRUN else None
    if sweep_dir is not None and config.fail_fast and any_failed(sweep_dir):
        return
    try:
        if config.dry_run:
            from m2v_bench.plan import show_plan

            show_plan({"this run": Job([], config, output_dir, key="")}, "one run")
            shutil.rmtree(output_dir)
            return
        run(config, output_dir, sweep_dir=sweep_dir)
    except Exception as error:
        message = explain(error, list(hydra_config.overrides.task))
        if config.debug or (message is None and sweep_dir is None):
            raise
        if sweep_dir is None:
            _job_errors.append(str(message))
        else:  # the other jobs still go on; the end of the sweep counts what is written here, by whatever process
            print(write_error(output_dir, message, error), file=sys.stderr)


def main() -> None:
    """Run what the command line asks for.

    Exits with 1 and one message when it cannot be done, and with the number of failed jobs after a sweep.
    """
    import hydra

    from m2v_bench.config import conf_dir, register
    from m2v_bench.messages import explain
    from m2v_bench.sweep import failures, install

    register()
    install()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors are to reach us, not Hydra's printer
    debug = any(word.lower() == "debug=true" for word in sys.argv)
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(_job)()
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from here", file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        message = explain(error, sys.argv[1:])
        if message is None or debug:
            raise
        print(message, file=sys.stderr)
        raise SystemExit(1) from None
    errors = _job_errors or failures
    if failures:
        print(f"{len(failures)} job(s) of the sweep failed:", file=sys.stderr)
    if errors:
        print("\n".join(errors), file=sys.stderr)
        raise SystemExit(min(len(errors), _MOST))


if __name__ == "__main__":
    main()
