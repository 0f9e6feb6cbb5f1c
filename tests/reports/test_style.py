"""Test that model looks are stable and distinguishable, including with color blindness and in grayscale."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml

from m2v_bench.config.schema import conf_dir
from m2v_bench.distillation import weighting
from m2v_bench.reports.style import DARK, MODELS, PAPER, VOCABULARIES, WEIGHTINGS, Look, apart, look

ROOT = Path(__file__).parents[2]

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Convert linear sRGB to CIE L*a*b*, white point D65."""
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.072175], [0.0193339, 0.119192, 0.9503041]]
    xyz = np.array(matrix) @ np.clip(rgb, 0, 1) / [0.95047, 1.0, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio defined by WCAG 2."""
    light, dark = sorted((linear(color) @ [0.2126, 0.7152, 0.0722] for color in (one, other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def distilled(**variant: str) -> Look:
    return look("m2v_bench/x", "static", {"weighting": "sif", "vocabulary": "model", **variant})


def everything() -> dict[str, Look]:
    variants = itertools.product(WEIGHTINGS, VOCABULARIES, ("output", "input"))
    distilled_looks = {
        f"{name} {vocabulary} {embeddings}": distilled(weighting=name, vocabulary=vocabulary, embeddings=embeddings)
        for name, vocabulary, embeddings in variants
    }
    return MODELS | distilled_looks


def test_every_bundled_model_is_in_the_registry():
    catalog = tomllib.loads((ROOT / "m2v_bench" / "assets" / "catalog.toml").read_text())
    names = {entry["model_name"] for entry in catalog.values() if "model_name" in entry}
    for path in [*conf_dir().glob("baseline/*.yaml"), *conf_dir().glob("base_model/*.yaml")]:
        name = str(yaml.safe_load(path.read_text()).get("name"))
        if name.count("/") == 1 and not name.startswith("~"):
            names.add(name)
    assert len(names) > 12
    assert names <= set(MODELS)


def test_every_weighting_has_a_color():
    assert set(WEIGHTINGS) == set(weighting.WEIGHTINGS)


def test_pure_black_is_not_used():
    """SVG omits pure black, so a dark page could not replace it."""
    assert "#000000" not in {shown.color for shown in everything().values()} | set(DARK)


def test_all_looks_are_distinct():
    looks = list(everything().values())
    assert len(set(looks)) == len(looks)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_equal_markers_differ_in_color_with_any_color_blindness(deficiency: str):
    matrix = np.array(DEFICIENCIES[deficiency])
    for (one, a), (two, b) in itertools.combinations(everything().items(), 2):
        if (a.marker, a.hollow) != (b.marker, b.hollow) or a.color == b.color:
            continue
        distance = np.linalg.norm(lab(matrix @ linear(a.color)) - lab(matrix @ linear(b.color)))
        assert distance > 14, (one, two, distance)


def test_equal_markers_and_dashes_differ_in_grayscale():
    for (one, a), (two, b) in itertools.combinations(everything().items(), 2):
        if (a.marker, a.dash, a.hollow) == (b.marker, b.dash, b.hollow):
            assert abs(lab(linear(a.color))[0] - lab(linear(b.color))[0]) > 10, (one, two)


def test_colors_contrast_with_light_and_dark_pages():
    for name, shown in everything().items():
        assert contrast(shown.color, PAPER) > 2.2, name
        assert contrast(DARK.get(shown.color, shown.color), DARK[PAPER]) > 3, name


def test_an_unknown_model_keeps_its_look():
    assert look("me/mine", "transformer") == look("me/mine", "transformer")
    assert look("me/mine", "transformer").marker == "s"
    assert look("me/mine", "lexical").marker != look("me/mine").marker
    assert distilled(weighting="mine").color == distilled(weighting="mine").color
    assert distilled(vocabulary="my_words").marker not in VOCABULARIES.values()
    assert distilled(embeddings="input").hollow


def test_duplicate_looks_become_distinct_and_the_first_is_kept():
    one, other = distilled(), distilled(weighting="none")
    shown = apart([one, other, one, one, one])
    assert shown[:2] == [one, other]
    assert len(set(shown)) == 5
    assert {model_look.color for model_look in shown} == {one.color, other.color}
    assert len({model_look.marker for model_look in (shown[0], *shown[2:])}) == 4
