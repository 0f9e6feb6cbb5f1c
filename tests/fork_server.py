"""Run commands of the package in forks of one process that has done the slow imports.

Started by `tests.processes`. Reads a line of JSON per request and answers with a line of JSON: to a command, {argv,
cwd, environment, stdout, stderr}, with the id of its process; to {wait: ID} with its exit code, or null while it runs.
"""

import atexit
import importlib
import io
import json
import os
import runpy
import signal
import sys
import tempfile
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PRELOADED = (
    "torch",
    "transformers",
    "sentence_transformers",
    "mteb",
    "mlflow",
    "matplotlib.backends.backend_svg",
    "m2v_bench.runs.run",
    "m2v_bench.runs.sweep",
    "m2v_bench.cli",
    # what a run imports late
    "m2v_bench.inference.card",
    "m2v_bench.reports.outcome",
    "m2v_bench.tracking.run_logging",
    # what MLflow imports late
    "IPython",
    "alembic.command",
    "git",
    "mlflow.pyfunc.model",
    "mlflow.store.tracking.sqlalchemy_store",
)


def serve() -> None:
    """Answer commands until standard input ends."""
    before = dict(os.environ)
    for name in PRELOADED:
        importlib.import_module(name)
    set_by_imports = {name: value for name, value in os.environ.items() if name not in before}
    from m2v_bench.inference.fast.loading import compile_ahead

    compile_ahead()
    keep_mlflow_tables()
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            process, status = os.waitpid(request["wait"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if process else None
        else:
            answer = os.fork()
            if answer == 0:
                become(request, set_by_imports)
        print(json.dumps(answer), flush=True)


def keep_mlflow_tables() -> None:
    """Let MLflow create its tables once and give each new SQLite file a copy: its migrations take seconds."""
    import sqlalchemy
    from mlflow.store.db import utils

    create = utils._initialize_tables
    with tempfile.TemporaryDirectory() as folder:
        engine = sqlalchemy.create_engine(f"sqlite:///{folder}/mlflow.db")
        create(engine)
        engine.dispose()
        tables = (Path(folder) / "mlflow.db").read_bytes()

    def copy(engine: sqlalchemy.Engine) -> None:
        file = Path(engine.url.database or "")
        if engine.dialect.name == "sqlite" and file.is_file() and not file.stat().st_size:
            file.write_bytes(tables)
        else:
            create(engine)

    utils._initialize_tables = copy


def become(command: dict[str, Any], set_by_imports: Mapping[str, str]) -> None:
    """Do what `python -m MODULE ARGUMENTS` does in a process of its own, and exit.

    Args:
        command: the request.
        set_by_imports: variables that the imports set where the command's environment lacks them.
    """
    module, *arguments = command["argv"]
    for number in (1, 2):
        file = os.open(command["stdout" if number == 1 else "stderr"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, "r", closefd=False))
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update({**set_by_imports, **command["environment"]})
    os.chdir(command["cwd"])
    sys.path[0] = command["cwd"]
    sys.argv = [module, *arguments]
    sys.modules.pop(module, None)  # runpy warns of a module that is run and imported
    code = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
        if isinstance(exit_.code, str):
            print(exit_.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


if __name__ == "__main__":
    serve()
