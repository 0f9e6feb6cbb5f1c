"""How models look in every figure: one registry of names, colours, markers and order, and one style.

A colour is of a model, not of its place in a figure, so that it means the same in every figure of every sweep. Colours
are Okabe and Ito's (2008) and Tol's muted ones, told apart by people with any of the common colour blindnesses; models
of one lightness have markers or dashes of their own, so that a figure can be read in grey.
"""

import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

INK, FAINT, GRID, PAPER = "#222222", "#5f5f5f", "#dddddd", "#ffffff"

STYLE: Any = {
    "figure.figsize": (7.0, 4.4),
    "figure.facecolor": PAPER,
    "axes.facecolor": "none",
    "savefig.dpi": 160,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GRID,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 6.5,
    # words stay words in the SVG, so that they can be searched, read aloud and take the page's colour
    "svg.fonttype": "none",
    # ids of the SVG's parts follow from what they show, and not from chance
    "svg.hashsalt": "m2v_bench",
}


@dataclass(frozen=True)
class Look:
    """What a model looks like.

    Attributes:
        colour: `#rrggbb`.
        marker: one of matplotlib's.
        rank: its place in a legend; equal ones stay in the order that they come in.
        dash: of its line.
        hollow: whether its marker is an outline.
    """

    colour: str
    marker: str
    rank: int
    dash: Any = "-"
    hollow: bool = False

    @property
    def marking(self) -> dict[str, Any]:
        """The keywords of matplotlib that draw its marker."""
        return {
            "color": self.colour,
            "marker": self.marker,
            "markerfacecolor": PAPER if self.hollow else self.colour,
            "markeredgecolor": self.colour if self.hollow or self.marker == "x" else PAPER,
            "markeredgewidth": 1.6 if self.hollow or self.marker == "x" else 0.7,
        }


# Order: teachers, distilled models, other static models, word vectors, what embeds nothing.
_TEACHER, _DISTILLED, _STATIC, _WORDS, _FLOOR = range(5)

MODELS: dict[str, Look] = {
    "sentence-transformers/all-MiniLM-L6-v2": Look("#111111", "s", _TEACHER, "--"),
    "sentence-transformers/paraphrase-MiniLM-L3-v2": Look("#777777", "s", _TEACHER, "--"),
    "google-bert/bert-base-uncased": Look("#6699CC", "s", _TEACHER, "--"),
    "BAAI/bge-base-en-v1.5": Look("#661100", "s", _TEACHER, "--"),
    "BAAI/bge-small-en-v1.5": Look("#882255", "s", _TEACHER, "--"),
    "m2v_bench/bge-small-en-v1.5-int8-derived": Look("#882255", "s", _TEACHER, "--", hollow=True),
    "minishlab/M2V_base_output": Look("#332288", "o", _STATIC, ":"),
    "minishlab/M2V_base_glove": Look("#332288", "p", _STATIC, ":"),
    "minishlab/M2V_base_glove_subword": Look("#332288", "h", _STATIC, ":"),
    "minishlab/potion-base-2M": Look("#AA4499", "v", _STATIC, "-."),
    "minishlab/potion-base-4M": Look("#AA4499", "<", _STATIC, "-."),
    "minishlab/potion-base-8M": Look("#AA4499", ">", _STATIC, "-."),
    "minishlab/potion-base-32M": Look("#AA4499", "^", _STATIC, "-."),
    "minishlab/potion-retrieval-32M": Look("#AA4499", "*", _STATIC, "-."),
    "sentence-transformers/static-retrieval-mrl-en-v1": Look("#117733", "d", _STATIC, "-."),
    "dleemiller/wordllama-l2-supercat-256": Look("#009E73", "D", _STATIC, "-."),
    "stanford/glove.6B.50d": Look("#D55E00", "^", _WORDS, ":"),
    "sentence-transformers/average_word_embeddings_glove.6B.300d": Look("#D55E00", "v", _WORDS, ":", hollow=True),
    "local/en.wiki.bpe.vs50000.d300": Look("#CC6677", "P", _WORDS, ":"),
    "mteb/baseline-bm25s": Look("#999999", "X", _FLOOR, ":"),
    "m2v_bench/random-256d": Look("#AAAAAA", "x", _FLOOR, ":"),
}

# A distilled model's colour and dash are its weighting's, its marker its vocabulary's; an outline says
# `embeddings=input`.
WEIGHTINGS: dict[str, tuple[str, Any]] = {
    "none": ("#56B4E9", (0, (5, 1.2))),
    "zipf_log": ("#E69F00", (0, (6, 1.5, 1.5, 1.5))),
    "sif": ("#0072B2", "-"),
    "sif_counts": ("#CC79A7", (0, (1.5, 1))),
    "idf": ("#999933", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
}
VOCABULARIES = {"model": "o", "glove": "p", "glove_subword": "h"}
_OWN_WORDS = "8"

# For models and weightings that are not listed; which one follows from the name alone.
_SPARE = ("#44AA99", "#DDAA33", "#AA7744", "#7766AA", "#BB5566", "#88AA22", "#4477AA")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">", "d", "8", "*")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)), (0, (8, 3)))

# What a colour becomes on a dark page, where it would be too dark to be seen.
DARK = {
    INK: "#e6e6e6",
    FAINT: "#a8a8a8",
    GRID: "#3a3f45",
    PAPER: "#16191d",
    "#111111": "#f5f5f5",
    "#0072B2": "#3c9fe0",
    "#332288": "#8f85e0",
    "#661100": "#d0806e",
    "#882255": "#d0709c",
    "#117733": "#4fb573",
    "#AA4499": "#cf74bf",
}


def look(name: str, kind: str = "static", variant: Mapping[str, Any] | None = None) -> Look:
    """The look of a model, whatever else a figure shows.

    Args:
        name: as mteb files it.
        kind: `static`, `transformer` or `lexical`.
        variant: of a distilled model, the settings in its record; None for any other.
    """
    if variant is not None:
        weighting = str(variant.get("weighting"))
        colour, dash = WEIGHTINGS.get(weighting) or (_spare(weighting), "-")
        return Look(
            colour,
            VOCABULARIES.get(str(variant.get("vocabulary", "model")), _OWN_WORDS),
            _DISTILLED,
            dash,
            hollow=variant.get("embeddings") == "input",
        )
    if name in MODELS:
        return MODELS[name]
    marker, rank, dash = {"transformer": ("s", _TEACHER, "--"), "lexical": ("X", _FLOOR, ":")}.get(
        kind, ("D", _STATIC, "-.")
    )
    return Look(_spare(name), marker, rank, dash)


def _spare(name: str) -> str:
    return _SPARE[zlib.crc32(name.encode()) % len(_SPARE)]


def apart(looks: Iterable[Look]) -> list[Look]:
    """The looks of one figure; those that an earlier one has already get the next free marker and dash."""
    found: list[Look] = []
    for each in looks:
        new = each
        for marker, dash in zip(_from(_MARKERS, each.marker), _from(_DASHES, each.dash), strict=False):
            new = replace(each, marker=marker, dash=dash)
            if new not in found:
                break
        found.append(new)
    return found


def _from(values: Sequence[Any], first: Any) -> list[Any]:
    """The values from `first` on and around again, twice, since two such lists are walked side by side."""
    start = values.index(first) if first in values else 0
    return [*([first] if first not in values else []), *values[start:], *values[:start]] * 2
