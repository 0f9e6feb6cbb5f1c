"""What models are scored on: suites of mteb tasks."""

from m2v_bench.tasks.suite import SuiteTask, load_suite

__all__ = ["SuiteTask", "load_suite"]
