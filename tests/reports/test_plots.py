"""Test that figures are reproducible, join only ordered values, and have no overlapping text."""

import hashlib
import itertools
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from m2v_bench.reports.factor_plot import arrange, factor_figure
from m2v_bench.reports.figures import save, svg
from m2v_bench.reports.panels import type_figure
from m2v_bench.reports.pareto import Point, speed_figure, undominated
from m2v_bench.reports.plots import Dot, ranked, score_figure, spread
from m2v_bench.reports.style import look

TEACHER = look("sentence-transformers/all-MiniLM-L6-v2", "transformer")
GLOVE, WORDLLAMA = look("stanford/glove.6B.50d"), look("dleemiller/wordllama-l2-supercat-256")
REFERENCES = [Dot("GloVe 6B 50d", 0.51, GLOVE), Dot("WordLlama 256", 0.592, WORDLLAMA)]
REFERENCES.append(Dot("all-MiniLM-L6-v2", 0.66, TEACHER))
CAPTION = (
    "suite starter (9 tasks); average over tasks (micro); main scores x 100, (n/N tasks); dialect m2v-0.7; seed 42"
)
TEXTS = "texts of 394 characters on average"
LONG = [f"['{name}WordSim', 'SimLex999WordSim', 'WordSim353WordSim']" for name in ("MEN", "RareWord")]
WEIGHTINGS = ("none", "zipf_log", "sif", "sif_counts", "idf")


def variant(weighting: str = "sif", embeddings: str = "output") -> Any:
    return look("m", "static", {"weighting": weighting, "vocabulary": "model", "embeddings": embeddings})


def curve(values: list[str], weighting: str = "sif", embeddings: str = "output", start: float = 0.45) -> list[Dot]:
    return [Dot(value, start + 0.02 * place, variant(weighting, embeddings)) for place, value in enumerate(values)]


def point(label: str, shown: Any, score: float, rate: float, n: int, *, spread: float = 0.02, **more: Any) -> Point:
    return Point(label, shown, score, rate, n, (rate * (1 - spread), rate * (1 + spread)), **more)


def sizes(sweep: int = 6) -> list[Point]:
    """Return points for a sweep over PCA sizes and three reference models."""
    points = [point("all-MiniLM-L6-v2", TEACHER, 0.657, 35, 22_713_216)]
    points += [point("GloVe 6B 50d", GLOVE, 0.514, 9000, 20_000_000)]
    points += [point("WordLlama 256", WORDLLAMA, 0.592, 11000, 8_192_000)]
    for place, dims in enumerate((16, 32, 64, 128, 256, 384)[:sweep]):
        speed, size = 12500 - 900 * place, 29525 * dims
        points.append(point(f"M2V {dims}d", variant(), 0.5 + 0.02 * place, speed, size, is_student=True))
    return points


def panels(dims: list[str]) -> dict[str, Any]:
    return {
        name: ({"M2V sif": curve(dims, start=0.3 + 0.03 * place)}, REFERENCES)
        for place, name in enumerate(("Class", "Clust", "PairClass", "Ret", "STS", "Sum", "PEARL", "WordSim"))
    }


def figures() -> dict[str, Figure]:
    dims = ["16", "32", "64", "128", "256", "384"]
    names = ["all-MiniLM-L6-v2", "paraphrase-MiniLM-L3-v2", "bge-small-en-v1.5-int8-derived"]
    several = {
        f"weighting={name}, embeddings={each}": curve([*dims, "none"], name, each, 0.4 + 0.013 * place)
        for place, (name, each) in enumerate(itertools.product(WEIGHTINGS, ("output", "input")))
    }
    return {
        "curve": score_figure({"M2V sif": curve(dims)}, REFERENCES, axis="pca_dims", caption=CAPTION),
        "types": type_figure(panels(dims), axis="pca_dims", caption=CAPTION),
        "curves": score_figure(several, REFERENCES, axis="pca_dims", caption=CAPTION),
        "rows": score_figure({"": curve(names)}, REFERENCES, axis="base_model.name", caption=CAPTION),
        "long": score_figure({"": curve(LONG)}, REFERENCES, axis="suite.tasks", caption=CAPTION),
        "ranked": ranked([*curve(dims), *curve(names, "none")], REFERENCES, caption=CAPTION),
        "speed": speed_figure(sizes(), texts=TEXTS, caption=CAPTION),
        "factors": factors(),
    }


def factors() -> Figure:
    teachers = {"all-MiniLM-L6-v2": "all-MiniLM-L6-v2 (teacher 66.2)", "bge-small-en-v1.5": "bge-small-en-v1.5"}
    kinds = [
        f"embeddings: {each}, dimensions after PCA: {dims}" for each in ("output", "input") for dims in (256, "none")
    ]
    cells = itertools.product(teachers, WEIGHTINGS, kinds)
    dots = {cell: Dot("", 0.5 + 0.004 * place, TEACHER, 0.01, f"variant {place}") for place, cell in enumerate(cells)}
    caption = f"compared with: GloVe 6B 50d 51.0\n{CAPTION}"
    return factor_figure(dots, rows="weighting", titles=teachers, caption=caption)


@pytest.fixture(scope="module")
def drawn() -> dict[str, Figure]:
    return figures()


@pytest.mark.parametrize(
    ("value", "shown"),
    [("256", "256"), ("1024", "1024"), ("3000", "3k"), ("30522", "30.5k"), ("176629", "177k"), ("999999", "1M")],
)
def test_large_sizes_have_short_ticks(value: str, shown: str):
    figure = score_figure({"": curve(["1", "2", value])}, [], axis="number of texts", caption=CAPTION)
    assert shown in [tick.get_text() for tick in figure.axes[0].get_xticklabels()]


KINDS = ("curve", "types", "curves", "rows", "long", "ranked", "speed", "factors")


def test_figures_are_reproducible_across_processes(tmp_path: Path):
    files = [path for name, figure in figures().items() for path in save(figure, tmp_path / f"a.b {name}")]
    assert {path.suffix for path in files} == {".svg", ".png"}
    assert len(files) == 16
    here = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    code = f"""
import hashlib
from pathlib import Path
from m2v_bench.reports.figures import save
from tests.reports.test_plots import figures
for name, figure in figures().items():
    for path in save(figure, Path({str(tmp_path)!r}, "again " + name)):
        print(hashlib.sha256(path.read_bytes()).hexdigest())
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert there.stdout.split() == here
    other, _ = save(speed_figure(sizes(5), texts=TEXTS, caption=CAPTION), tmp_path / "other")
    assert hashlib.sha256(other.read_bytes()).hexdigest() not in here


@pytest.mark.parametrize("kind", KINDS)
def test_svg_and_png_have_the_same_shape(drawn: dict[str, Figure], kind: str, tmp_path: Path):
    vector, png = save(drawn[kind], tmp_path / kind)
    picture, root = matplotlib.image.imread(png), ET.parse(vector).getroot()
    width, height = (float(root.attrib[name].removesuffix("pt")) for name in ("width", "height"))
    assert picture.shape[1] == 1120
    assert picture.shape[0] / picture.shape[1] == pytest.approx(height / width, rel=0.01)
    assert np.ptp(picture[..., :3]) > 0.9
    words = " ".join("".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "GloVe 6B 50d" in words
    assert "main scores x 100" in words


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_overlaps_another_or_is_cut_off(drawn: dict[str, Figure], kind: str):
    figure = drawn[kind]
    figure.draw_without_rendering()
    texts = [text for text in figure.findobj(matplotlib.text.Text) if text.get_visible() and text.get_text().strip()]
    # tick labels outside the axes' limits exist but are not drawn
    frames = {
        tick: axes.get_window_extent()
        for axes in figure.axes
        for tick in [*axes.get_xticklabels(which="both"), *axes.get_yticklabels(which="both")]
    }
    boxes = []
    for text in texts:
        box, frame = text.get_window_extent(), frames.get(text)
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        if frame is None or frame.x0 - 1 <= x <= frame.x1 + 1 or frame.y0 - 1 <= y <= frame.y1 + 1:
            boxes.append((text.get_text(), box))
    whole = figure.bbox
    for text, box in boxes:
        assert box.x0 >= whole.x0 - 1 and box.x1 <= whole.x1 + 1, f"{text} is cut"
        assert box.y0 >= whole.y0 - 1 and box.y1 <= whole.y1 + 1, f"{text} is cut"
    for (one, a), (two, b) in itertools.combinations(boxes, 2):
        width, height = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(width, height) < 1.5, f"{one} and {two}"


def lines(figure: Figure) -> list[Any]:
    """Return the lines that join points."""
    return [line for line in figure.axes[0].lines if line.get_linestyle() != "None" and len(line.get_xdata()) > 1]


def test_no_line_joins_unordered_values(drawn: dict[str, Figure]):
    assert not lines(drawn["rows"])
    assert not lines(drawn["ranked"])
    assert not lines(score_figure({"": curve(["0", "none"])}, [], axis="x", caption=""))
    numbers = score_figure({"": curve(["16", "none", "32"])}, [], axis="pca_dims", caption="")
    (line,) = lines(numbers)
    assert list(line.get_xdata()) == [16, 32]


def test_circle_area_is_proportional_to_the_number_of_parameters(drawn: dict[str, Figure]):
    scattered = drawn["speed"].axes[0].collections
    areas = sorted({round(float(circle.get_sizes()[0]), 6) for circle in scattered if len(circle.get_offsets())})
    parameters = sorted(point.n_parameters for point in sizes())
    np.testing.assert_allclose(np.array(areas) / areas[-1], np.array(parameters) / parameters[-1], rtol=1e-6)


def test_the_front_passes_through_the_undominated_points(drawn: dict[str, Figure]):
    points = sizes()
    best = {point.label for point in undominated(points)}
    steps = {"all-MiniLM-L6-v2", "M2V 384d", "WordLlama 256", "M2V 32d", "M2V 16d"}
    assert best == steps | {"M2V 64d"}  # as fast as WordLlama, by their rounds
    line = next(line for line in drawn["speed"].axes[0].lines if line.get_gid() == "domination")
    corners = set(zip(line.get_xdata(), line.get_ydata(), strict=True))
    assert {(p.spread[0], 100 * p.score) for p in points if p.label in steps} <= corners
    for candidate in points:
        faster = [other for other in points if other.spread[0] > candidate.spread[1] and other.score >= candidate.score]
        assert (candidate.label in best) == (not faster)


def test_equal_points_do_not_dominate_each_other():
    twins = [point(name, TEACHER, 0.5, 10.0, 1) for name in "ab"]
    slower = point("c", TEACHER, 0.5, 9.0, 1)
    assert [point.label for point in undominated([slower, *twins])] == ["a", "b"]


@pytest.mark.parametrize(
    ("rate", "spread", "score", "best"),
    [
        (100.0, 0.02, 0.5, ["fast", "other"]),  # as fast
        (97.0, 0.02, 0.5, ["fast", "other"]),  # its fastest round beats the slowest round of "fast"
        (90.0, 0.02, 0.5, ["fast"]),
        (80.0, 0.15, 0.5, ["fast"]),
        (80.0, 0.25, 0.5, ["fast", "other"]),  # 25 % of noise
        (50.0, 0.02, 0.7, ["fast", "other"]),  # slower, and better
    ],
)
def test_a_model_dominates_only_beyond_the_spread(rate: float, spread: float, score: float, best: list[str]):
    points = [point("fast", TEACHER, 0.6, 100.0, 1), point("other", GLOVE, score, rate, 1, spread=spread)]
    assert [point.label for point in undominated(points)] == best
    lines = speed_figure(points, texts=TEXTS, caption="").axes[0].lines
    bars = [line for line in lines if str(line.get_gid()).startswith("spread")]
    assert len({bar.get_gid() for bar in bars}) == len(bars)  # they become ids in the page
    assert sorted(tuple(bar.get_xdata()) for bar in bars) == sorted(point.spread for point in points)


def test_models_not_timed_together_have_no_front():
    drawn = speed_figure(sizes(), texts=TEXTS, caption=CAPTION, comparable=False)
    assert "domination" not in [line.get_gid() for line in drawn.axes[0].lines]
    assert "dominated" not in " ".join(text.get_text() for text in drawn.legends[0].get_texts())
    assert TEXTS in drawn.axes[0].get_xlabel()


def test_a_single_model_and_a_missing_score_can_be_drawn(tmp_path: Path):
    nothing = point("nothing", GLOVE, float("nan"), 5.0, 7_000_000)
    save(speed_figure([point("a", TEACHER, 0.6, 10.0, 20_000_000), nothing], texts="", caption=""), tmp_path / "one")
    assert "nothing" not in (tmp_path / "one.svg").read_text()


def test_names_are_spread_without_overlap():
    placed = spread([0.0, 1.0, 2.0, 50.0], [4.0, 4.0, 4.0, 4.0], -100, 100)
    assert placed == [-3.0, 1.0, 5.0, 50.0]
    assert spread([0.0, 1.0], [4.0, 4.0], 0, 100) == [2.0, 6.0]
    assert spread([99.0, 99.0], [4.0, 4.0], 0, 100) == [94.0, 98.0]
    assert spread([5.0, 1.0], [1.0, 1.0], 0, 100) == [5.0, 1.0]


def test_a_legend_shows_what_the_dots_of_a_series_have_in_common():
    def dots(weighting: str, start: float) -> list[Dot]:
        names = ("model", "glove", "glove_subword")
        looks = [look("m", "static", {"weighting": weighting, "vocabulary": name}) for name in names]
        return [
            Dot(name, start + 0.01 * place, look) for place, (name, look) in enumerate(zip(names, looks, strict=True))
        ]

    series = {"dialect=m2v-0.1": dots("zipf_log", 0.5), "dialect=m2v-0.7": dots("sif", 0.52)}
    figure = score_figure(series, REFERENCES, axis="vocabulary", caption=CAPTION)
    keys = [handle.get_color() for handle in figure.legends[0].legend_handles]
    assert keys == [variant("zipf_log").color, variant("sif").color]


def test_every_variant_has_a_mark_in_the_cell_of_its_settings():
    figure = factors()
    drawn_at = [
        (number, round(float(line.get_ydata()[0])), float(line.get_xdata()[0]))
        for number, axes in enumerate(figure.axes)
        for line in axes.lines
        if line.get_marker() not in ("None", None)
        and len(line.get_xdata()) == 1
        and not str(line.get_gid()).strip("None")
    ]
    n_kinds, n_rows = 4, len(WEIGHTINGS)
    assert len(drawn_at) == 2 * n_kinds * n_rows
    for place, (panel, row, score) in enumerate(drawn_at):
        assert (panel, row) == (place // (n_kinds * n_rows), place // n_kinds % n_rows)
        assert score == pytest.approx(50 + 0.4 * place)


def test_settings_are_arranged_by_their_numbers_of_values():
    values = {"teacher": ["a", "b", "c"], "embeddings": ["x", "y"], "pca": ["1", "2"], "weighting": list("12345")}
    assert arrange(values) == ("weighting", "teacher", ["embeddings", "pca"])
    assert arrange({"pca": ["1", "2"], "weighting": list("123")}) == ("weighting", None, ["pca"])
    assert arrange({"one": list("12345678901234567"), "two": ["1", "2"]}) is None
    assert arrange({"one": list("123456"), "two": list("123456"), "three": list("12345")}) is None


def test_intervals_and_texts_for_the_pointer_are_in_the_svg():
    dots = [Dot(value, 0.5, TEACHER, 0.02, f'at {value}: "50 < 51"') for value in ("16", "32")]
    reference = Dot("GloVe", 0.4, GLOVE, tip="GloVe: 40.00")
    for figure in (
        score_figure({"": dots}, [reference], axis="x", caption=""),
        ranked(dots, [reference], caption=""),
        speed_figure([replace(point("a", TEACHER, 0.5, 10.0, 1), reach=0.02, tip=dots[0].tip)], texts="", caption=""),
    ):
        ends = [sorted(line.get_ydata()) for line in figure.axes[0].lines if len(line.get_ydata()) == 2]
        ends += [sorted(line.get_xdata()) for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
        assert any(np.allclose(pair, [48.0, 52.0]) for pair in ends)
        root = ET.fromstring(svg(figure))
        titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
        assert 'at 16: "50 < 51"' in titles
        assert ("GloVe: 40.00" in titles) == ("texts per second" not in figure.axes[0].get_xlabel())
    without = score_figure({"": [replace(dot, reach=float("nan"), tip="") for dot in dots]}, [], axis="x", caption="")
    assert "<title>" not in svg(without)
