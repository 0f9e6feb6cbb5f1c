"""Suites of mteb tasks to score models on."""

from m2v_bench.tasks.suite import SuiteTask, load_suite

__all__ = ["SuiteTask", "load_suite"]
