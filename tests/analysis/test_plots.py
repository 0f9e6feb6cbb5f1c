from pathlib import Path

import matplotlib.image
import numpy as np

from m2v_bench.analysis.plots import score_lines, speed_vs_score

ROWS = [
    {"label": "a", "texts_per_second": 10.0, "score": 0.6, "n_parameters": 2e7},
    {"label": "b", "texts_per_second": 9000.0, "score": 0.5, "n_parameters": 7e6},
    {"label": "c", "texts_per_second": 9500.0, "score": 0.505, "n_parameters": 7e6},
    {"label": "none", "texts_per_second": 5.0, "score": float("nan"), "n_parameters": 7e6},
]


def test_the_same_numbers_give_the_same_bytes_and_others_do_not(tmp_path: Path):
    for name, rows in (("one", ROWS), ("two", ROWS), ("other", ROWS[:2])):
        speed_vs_score(rows, tmp_path / f"{name}.png", caption="suite x")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "other.png").read_bytes()
    picture = matplotlib.image.imread(tmp_path / "one.png")
    assert picture.shape[1] > 800
    assert np.ptp(picture[..., :3]) > 0.9


def test_a_sweep_is_drawn_along_numbers_and_along_names(tmp_path: Path):
    several = {"a": {"16": 0.3, "256": 0.5}, "b": {"16": 0.2, "64": 0.4}}
    for name, series in (
        ("numbers", several),
        ("names", {"a": {"none": 0.3, "sif": 0.5}}),
        ("zero", {"a": {"0": 0.1}}),
    ):
        score_lines(series, {"teacher": 0.6}, tmp_path / f"{name}.png", axis="x", caption="c")
        assert matplotlib.image.imread(tmp_path / f"{name}.png").shape[1] > 800
