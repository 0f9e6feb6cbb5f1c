"""`python -m m2v_bench`: hands over to Hydra, and says in plain words what went wrong."""

import os
import sys
import traceback
from pathlib import Path

from omegaconf import DictConfig

# Errors of jobs are kept here and told at the end: raised, Hydra would print them again in its own words.
_job_errors: list[str] = []


def _job(config: DictConfig) -> None:
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from m2v_bench.messages import explain
    from m2v_bench.run import run
    from m2v_bench.sweep import parent_run

    hydra_config = HydraConfig.get()
    output_dir = Path(hydra_config.runtime.output_dir)
    in_sweep = hydra_config.mode == RunMode.MULTIRUN
    parent = parent_run(Path(hydra_config.sweep.dir)) if in_sweep else None
    try:
        run(config, output_dir, parent=parent, in_sweep=in_sweep)
    except Exception as error:
        message = explain(error, sys.argv[1:])
        if config.debug or (message is None and not in_sweep):
            raise
        if not in_sweep:
            _job_errors.append(str(message))
            return
        if message is None:  # a defect: the other jobs still go on, and the traceback is kept
            message = f"{type(error).__name__}: {error} (traceback in {output_dir / 'traceback.txt'})"
            (output_dir / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
        # the end of the sweep counts these files, whatever process wrote them
        print(message, file=sys.stderr)
        overrides = " ".join(hydra_config.overrides.task)
        (output_dir / "error.txt").write_text(f"job {hydra_config.job.num} ({overrides}): {message}", encoding="utf-8")


def main() -> None:
    """Run what the command line asks for; exit with 1 and one message when it cannot be done."""
    import hydra

    from m2v_bench.config import conf_dir, register
    from m2v_bench.messages import explain

    register()
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
    from m2v_bench.sweep import failures

    errors = _job_errors or failures
    if failures:
        print(f"{len(failures)} job(s) of the sweep failed:", file=sys.stderr)
    if errors:
        print("\n".join(errors), file=sys.stderr)
        raise SystemExit(1)


if __name__ == "__main__":
    main()
