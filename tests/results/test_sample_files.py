from pathlib import Path

import numpy as np
import pytest

from m2v_bench.errors import BenchError
from m2v_bench.results.sample_files import complete, matching_samples, read_task_samples, reader, stale_notes
from m2v_bench.tasks.samples import Samples, write_samples


def samples(*values: float) -> Samples:
    return Samples("mean", np.array(values, np.float32), None, "text")


def test_parts_are_kept_when_all_of_them_can_be_resampled():
    known = {"test/a": samples(0, 1), "test/b": samples(1, 1), "test/b/table": samples(1, 0), "dev/a": samples(1)}
    assert set(complete(known, ["test/a"]) or ()) == {"test/a"}
    assert set(complete(known, ["test/b"]) or ()) == {"test/b", "test/b/table"}
    assert complete(known, ["test/a", "dev/a"]) is None  # of one sample nothing can be drawn
    assert complete(known, ["test/c"]) is None
    assert complete(known) is None
    assert set(complete({"test/a": samples(0, 1)}) or ()) == {"test/a"}
    assert complete({}) is complete(None) is complete(None, ["test/a"]) is None


def test_samples_that_do_not_give_the_score_are_named(tmp_path: Path):
    write_samples(tmp_path / "samples" / "m" / "r" / "T.npz", {"test/default": samples(0, 1, 1, 0)})
    read = reader(tmp_path, {"m": Path("m", "r"), "n": None}, lambda label, task: None)
    stale: dict[str, list[str]] = {}
    assert matching_samples(read, "m", "T", 0.5, stale) is not None
    assert matching_samples(read, "n", "T", 0.5, stale) is None
    assert matching_samples(read, "m", "U", 0.5, stale) is None
    assert stale == {}
    for score in (0.6, float("nan")):
        assert matching_samples(read, "m", "T", score, stale) is None
    assert stale_notes(stale) == ["samples of m that do not give the main score and are not used: T, T"]


def test_a_damaged_file_is_named(tmp_path: Path):
    path = tmp_path / "samples" / "m" / "T.npz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"torn")
    with pytest.raises(BenchError, match=r"T\.npz: cannot be read .*; delete it and score the task again"):
        read_task_samples(Path("m"), "T", tmp_path)
