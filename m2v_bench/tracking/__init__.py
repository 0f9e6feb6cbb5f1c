"""Log runs to MLflow from their result files. No other package imports mlflow.

`log_run` reads only the folder of a run, so that `rebuild` gives the same result later.
"""

import logging
import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # an air-gapped machine would wait for it
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# an unreachable server must not delay a run for minutes
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from m2v_bench.tracking.rebuild import rebuild
from m2v_bench.tracking.run_logging import log_run
from m2v_bench.tracking.sweep_logging import end_sweep, start_sweep

# mlflow sets a level of its own when it is imported. Its notices are on our own deliberate choices: the class is
# pickled by reference, the input is not validated.
logging.getLogger("mlflow").setLevel(logging.ERROR)

__all__ = ["end_sweep", "log_run", "rebuild", "start_sweep"]
