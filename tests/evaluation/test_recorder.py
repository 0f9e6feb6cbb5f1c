"""Test the recorder of per-sample outputs."""

import logging
from pathlib import Path

import mteb
import numpy as np
import pytest
from mteb.results import TaskResult

from m2v_bench.evaluation.recorder import Recorder
from m2v_bench.tasks.samples import Samples, read_samples

NAN = float("nan")


@pytest.mark.parametrize(
    ("samples", "score", "warning"),
    [
        (0.5, 0.5, None),
        (0.5, 0.7, "STSBenchmark: its samples give 0.5000, but its score is 0.7000; the samples are discarded"),
        (NAN, 0.7, "STSBenchmark: its samples give nan, but its score is 0.7000; the samples are discarded"),
        (NAN, NAN, None),
        (0.5, NAN, None),
    ],
)
def test_samples_must_match_the_score(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, samples: float, score: float, warning: str | None
):
    """A NaN score has no samples and causes no warning."""
    task = mteb.get_task("STSBenchmark")
    recorder = Recorder(task)
    part = Samples("mean", np.full(4, samples, np.float32), None, "pair")
    recorder._parts["STSBenchmark"] = {"test/default": part}
    entry = {"main_score": score, "hf_subset": "default", "languages": ["eng-Latn"]}
    result = TaskResult(
        dataset_revision="1", task_name="STSBenchmark", mteb_version="2", evaluation_time=0, scores={"test": [entry]}
    )
    path = tmp_path / "STSBenchmark.npz"
    path.write_bytes(b"of an earlier score")
    with caplog.at_level(logging.WARNING, logger="m2v_bench"):
        recorder.write(result, lambda name: path)
    assert [record.getMessage() for record in caplog.records] == [warning] * (warning is not None)
    assert path.is_file() == (samples == score)
    if path.is_file():
        assert read_samples(path)["test/default"].score() == score
