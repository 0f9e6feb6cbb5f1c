"""Runs as MLflow runs: a view of what the result files hold. Nothing else imports mlflow.

`log_run` is given a folder and nothing else, so that `rebuild` makes the same of a folder that was written long ago.
"""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # an air-gapped machine would wait for it
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# a server that is away must not hold a run up for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from m2v_bench.tracking.rebuild import rebuild
from m2v_bench.tracking.run_logging import log_run
from m2v_bench.tracking.sweep_logging import end_sweep, start_sweep

# mlflow sets a level of its own when it is imported. Its notices are on our own deliberate choices: the class is
# pickled by reference, the input is not validated.
logging.getLogger("mlflow").setLevel(logging.ERROR)

__all__ = ["end_sweep", "log_run", "rebuild", "start_sweep"]
