"""Style of all figures, and a registry of model colors, markers and order.

A color belongs to a model, not to a position in a figure, so it means the same in every figure of every sweep. The
palettes are Okabe and Ito's (2008) and Tol's muted one, which are distinguishable with all common types of color
blindness; models of equal lightness differ in marker or dash, so figures remain readable in grayscale.
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
    # keep text as text in the SVG, so it can be searched, read aloud and take the page's color
    "svg.fonttype": "none",
    # make the SVG's element ids deterministic
    "svg.hashsalt": "m2v_bench",
}


@dataclass(frozen=True)
class Look:
    """Appearance of a model.

    Attributes:
        color: `#rrggbb`.
        marker: a matplotlib marker.
        rank: position in a legend; equal ranks keep their order.
        dash: line style.
        hollow: whether to draw only the outline of the marker.
    """

    color: str
    marker: str
    rank: int
    dash: Any = "-"
    hollow: bool = False

    @property
    def marking(self) -> dict[str, Any]:
        """Matplotlib keywords to draw the marker."""
        return {
            "color": self.color,
            "marker": self.marker,
            "markerfacecolor": PAPER if self.hollow else self.color,
            "markeredgecolor": self.color if self.hollow or self.marker == "x" else PAPER,
            "markeredgewidth": 1.6 if self.hollow or self.marker == "x" else 0.7,
        }


# Legend order: teachers, distilled models, other static models, word vectors, baselines without embeddings.
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

# A distilled model's color and dash show its weighting, its marker the vocabulary; a hollow marker means
# `embeddings=input`.
WEIGHTINGS: dict[str, tuple[str, Any]] = {
    "none": ("#56B4E9", (0, (5, 1.2))),
    "zipf_log": ("#E69F00", (0, (6, 1.5, 1.5, 1.5))),
    "sif": ("#0072B2", "-"),
    "sif_counts": ("#CC79A7", (0, (1.5, 1))),
    "idf": ("#999933", (0, (6, 1.5, 1, 1.5, 1, 1.5))),
}
VOCABULARIES = {"model": "o", "glove": "p", "glove_subword": "h"}
_CUSTOM_VOCABULARY = "8"

SETTING_TITLES = {
    "base_model": "teacher",
    "base_model.name": "teacher",
    "corpus": "corpus of the token counts",
    "dims": "dimensions",
    "dtype": "type of the rows",
    "kind": "kind of model",
    "pca_dims": "dimensions after PCA",
    "quantize_to": "type of the rows",
    "sif_coefficient": "SIF coefficient a",
    "training.epochs": "epochs of training",
    "training.learning_rate": "learning rate",
    "training.n_texts": "number of training texts",
    "training.temperature": "temperature of the contrastive loss",
    "vocabulary_size": "words of the vocabulary",
}
"""Titles of settings in figures; others are titled by their name."""


def setting_title(name: str) -> str:
    """Return what a figure calls a setting."""
    return SETTING_TITLES.get(name) or name.replace(".", " ").replace("_", " ")


# Color and marker of groups of variants in a figure of several settings, which are not single models.
PALETTE = (
    ("#0072B2", "o"), ("#E69F00", "s"), ("#009E73", "^"), ("#CC79A7", "D"),
    ("#56B4E9", "v"), ("#D55E00", "P"), ("#999933", "X"), ("#332288", "p"),
)  # fmt: skip

# For unlisted models and weightings; chosen by name.
_SPARE = ("#44AA99", "#DDAA33", "#AA7744", "#7766AA", "#BB5566", "#88AA22", "#4477AA")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "h", "<", ">", "d", "8", "*")
_DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (6, 2, 1, 2, 1, 2)), (0, (1, 3)), (0, (8, 3)))

# Replacements on a dark page, where these colors would be too dark.
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
    """Return the look of a model, which is independent of the other models in a figure.

    Args:
        name: the model's name in mteb.
        kind: `static`, `transformer` or `lexical`.
        variant: recorded settings of a distilled model; None for any other.
    """
    if variant is not None:
        weighting = str(variant.get("weighting"))
        color, dash = WEIGHTINGS.get(weighting) or (_spare(weighting), "-")
        return Look(
            color,
            VOCABULARIES.get(str(variant.get("vocabulary", "model")), _CUSTOM_VOCABULARY),
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
    """Make the looks of one figure distinct: a duplicate gets the next free marker and dash."""
    distinct: list[Look] = []
    for original in looks:
        candidate = original
        for marker, dash in zip(_rotated(_MARKERS, original.marker), _rotated(_DASHES, original.dash), strict=False):
            candidate = replace(original, marker=marker, dash=dash)
            if candidate not in distinct:
                break
        distinct.append(candidate)
    return distinct


def _rotated(values: Sequence[Any], first: Any) -> list[Any]:
    """Return the values rotated to start with `first`, repeated twice because two such lists are zipped."""
    start = values.index(first) if first in values else 0
    return [*([first] if first not in values else []), *values[start:], *values[:start]] * 2
