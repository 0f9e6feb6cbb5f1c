"""What a static model is made of: every setting that decides its numbers, checked and named."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from m2v_bench.cache import content_hash
from m2v_bench.distillation.corpus import COUNTS_VERSION, Corpus
from m2v_bench.distillation.dialects import SEQUENCES, Dialect, get_dialect
from m2v_bench.distillation.forward import PRECISIONS
from m2v_bench.distillation.pca import SOLVERS, PcaDims, parse_dims
from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.distillation.quantization import DTYPES
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.distillation.vocabulary import compile_remove
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.distillation.words import Words, load_words
from m2v_bench.errors import BenchError, check_seed, plain_number, whole_number

UNUSED_TOKENS = r"\[unused\d+\]"
SIF_COEFFICIENT = 1e-4
EMBEDDINGS = ("output", "input")

# Raise a stage's number when its code gives other numbers for the same input.
FORWARD_VERSION = 3
ROTATION_VERSION = 2
_ASSEMBLY_VERSION = 2
WORDS_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a static model's numbers; what only changes speed is not in it.

    Attributes:
        base: the sentence transformer.
        dialect: which releases' defaults stand behind what is not set here (`dialects.DIALECTS`).
        words: words to add or to take alone; None for the base model's own subwords.
        remove: regular expression of tokens to drop, matched at their beginning; None drops none.
        embeddings: `output` of a forward pass, or the `input` embedding matrix.
        sequence: a name in `dialects.SEQUENCES`.
        pooling: a name in `POOLINGS`, for subwords.
        word_pooling: a name in `POOLINGS`, for words.
        precision: a name in `forward.PRECISIONS`.
        pca_dims: see `reduction.parse_dims`.
        solver: a name in `reduction.SOLVERS`.
        weighting: a name in `WEIGHTINGS`.
        coefficient: SIF's `a`; other weightings do not look at it.
        corpus: where frequencies are counted; None for weightings that do not look at it.
        dtype: a name in `DTYPES`.
        clusters: rows that k-means leaves, shared between tokens; None for a row per token.
        seed: of k-means and of randomized PCA.
    """

    base: BaseModel
    dialect: str
    words: Words | None
    remove: str | None
    embeddings: str
    sequence: str
    pooling: str
    word_pooling: str
    precision: str
    pca_dims: PcaDims
    solver: str
    weighting: str
    coefficient: float
    corpus: Corpus | None
    dtype: str
    clusters: int | None
    seed: int

    @property
    def preset(self) -> Dialect:
        """What the dialect says."""
        return get_dialect(self.dialect)

    @cached_property
    def vocabulary(self) -> str:
        """The vocabulary's name: `model`, or that of its words, as in `glove` or `glove_subword`."""
        return "model" if self.words is None else self.words.source + "_subword" * self.words.subwords

    @cached_property
    def _unusual(self) -> dict[str, Any]:
        """What differs from the dialect's and the product's defaults, by the name of its setting."""
        preset, words, corpus = self.preset, self.words, self.corpus
        fed = self.embeddings == "output"  # else no sequence goes through the transformer
        solved = isinstance(self.pca_dims, int)  # a rotation, and what is cut from it, is exact
        drawn = self.clusters is not None or (solved and self.solver == "sklearn")
        given: dict[str, tuple[Any, bool]] = {
            "words": (words and len(words.words), words is not None),
            "words_revision": (words and words.revision, words is not None),
            "remove": (str(self.remove), self.remove != UNUSED_TOKENS),
            "embeddings": (self.embeddings, self.embeddings != "output"),
            "sequence": (self.sequence, fed and self.sequence != preset.sequence),
            "word_pooling": (self.word_pooling, fed and words is not None and self.word_pooling != preset.word_pooling),
            "precision": (self.precision, fed and self.precision != "fp32"),
            "solver": (self.solver, solved and self.solver != preset.solver),
            "sif_coefficient": (self.coefficient, WEIGHTINGS[self.weighting].uses_coefficient),
            "corpus": (corpus and corpus.label, corpus is not None),
            "corpus_revision": (corpus and corpus.revision, corpus is not None),
            "vocabulary_quantization": (self.clusters, self.clusters is not None),
            "seed": (self.seed, drawn),
        }
        return {name: value for name, (value, differs) in given.items() if differs}

    @cached_property
    def variant(self) -> dict[str, Any]:
        """The recipe as plain values, as the result files keep it."""
        return {
            "base_model": self.base.name.rsplit("/", 1)[-1],
            "dialect": self.dialect,
            "vocabulary": self.vocabulary,
            "pooling": self.pooling if self.embeddings == "output" else None,
            "pca_dims": self.pca_dims,
            "weighting": self.weighting,
            "dtype": self.dtype,
            **self._unusual,
        }

    @cached_property
    def revision(self) -> str:
        """A hash over the base model's content and every setting that can move a number."""
        versions: list[int | str] = [FORWARD_VERSION, ROTATION_VERSION, _ASSEMBLY_VERSION]
        versions += [COUNTS_VERSION] * (self.corpus is not None)
        versions += [f"words {WORDS_VERSION}"] * (self.words is not None)
        return content_hash({**self.variant, "base_revision": self.base.revision, "versions": versions})

    @property
    def label(self) -> str:
        """What tables and plots call the model."""
        preset, words, unusual = self.preset, self.words, self._unusual
        # what most models share is left out, so that the label stays short
        parts = {
            "M2V": True,
            self.variant["base_model"]: True,
            self.dialect: self.dialect != "m2v-0.7",
            f"{self.vocabulary} {len(words.words) if words else 0:,}": words is not None,
            "input": self.embeddings == "input",
            {"none": "no PCA", "auto": "rotated"}.get(str(self.pca_dims), f"{self.pca_dims}d"): True,
            f"{self.solver} PCA": "solver" in unusual,
            self.weighting: True,
            f"a={self.coefficient:g}": "sif_coefficient" in unusual and self.coefficient != SIF_COEFFICIENT,
            f"on {self.corpus.label if self.corpus else None}": self.corpus is not None,
            self.pooling: self.embeddings == "output" and self.pooling != preset.pooling,
            f"words {self.word_pooling}": "word_pooling" in unusual and self.word_pooling != self.pooling,
            self.sequence: "sequence" in unusual,
            self.precision: "precision" in unusual,
            self.dtype: self.dtype != "float16",
            f"{self.clusters} rows": self.clusters is not None,
            f"seed {self.seed}": "seed" in unusual and self.seed != 42,
            f"without {self.remove}": self.remove != UNUSED_TOKENS,
        }
        return " ".join(part for part, shown in parts.items() if shown)

    @property
    def name(self) -> str:
        """The model's name in result files, readable and unique together with the revision."""
        parts = [self.vocabulary, f"pca{self.pca_dims}", self.weighting, self.dtype]
        return f"m2v_bench/{self.variant['base_model']}-{'-'.join(parts)}"


def make_recipe(
    model: Any,
    *,
    tokenizer: Any = None,
    base_revision: str | None = None,
    dialect: str = "m2v-0.7",
    sequence: str | None = None,
    vocabulary: str | Iterable[str] = "model",
    subwords: bool | None = None,
    vocabulary_size: int | None = None,
    remove: str | None = UNUSED_TOKENS,
    embeddings: str = "output",
    pooling: str | None = None,
    precision: str = "fp32",
    pca_dims: object = 256,
    solver: str | None = None,
    weighting: str | None = None,
    coefficient: float = SIF_COEFFICIENT,
    corpus: str | None = None,
    column: str = "text",
    dtype: str = "float16",
    clusters: int | None = None,
    seed: int = 42,
) -> Recipe:
    """Check every setting, fill in what the dialect says, and find the base model.

    Raises:
        BenchError: naming the setting that is wrong and what is allowed.
    """
    preset = get_dialect(dialect)
    weighting = weighting or preset.weighting
    coefficient, pca_dims = plain_number(coefficient), plain_number(pca_dims)
    chosen = {
        "dialect.sequence": (sequence or preset.sequence, SEQUENCES),
        "embeddings": (embeddings, EMBEDDINGS),
        "pooling.name": (pooling or preset.pooling, tuple(POOLINGS)),
        "precision": (precision, PRECISIONS),
        "pca.solver": (solver or preset.solver, SOLVERS),
        "weighting.name": (weighting, tuple(WEIGHTINGS)),
        "quantization.dtype": (dtype, tuple(DTYPES)),
    }
    for setting, (value, allowed) in chosen.items():
        if value not in allowed:
            raise BenchError(f"{setting}={value}: unknown; allowed: {', '.join(allowed)}")
    if isinstance(coefficient, bool) or not isinstance(coefficient, int | float) or not 0 < coefficient < 1:
        raise BenchError(f"weighting.coefficient={coefficient}: must lie between 0 and 1, e.g. 1e-4")
    seed = check_seed(seed)
    if clusters is not None:
        clusters = whole_number("quantization.vocabulary", clusters, least=1, instead="null for a row per token")
    compile_remove(remove)
    dims = parse_dims(pca_dims)
    counted = WEIGHTINGS[weighting].uses_corpus
    if counted and corpus is None:
        raise BenchError(
            f"weighting.name={weighting} counts tokens: set weighting.corpus to a .txt file with one document a line, "
            "a .csv, .jsonl or .parquet file (weighting.column=text), or a dataset"
        )
    words = load_words(vocabulary, subwords=subwords, size=vocabulary_size)
    if isinstance(dims, int) and words is not None and not words.subwords and dims > len(words.words):
        raise BenchError(
            f"pca.dims={dims}: vocabulary {words.source} has only {len(words.words)} words; "
            "fewer words than dimensions cannot be decomposed. Set pca.dims=none or give more words"
        )
    base = find_base(model, tokenizer, revision=base_revision)
    hidden = base.hidden_size
    if isinstance(dims, int) and dims > hidden:
        raise BenchError(
            f"pca.dims={dims}: {base.name.rsplit('/', 1)[-1]} has {hidden} dimensions; allowed: 1 to {hidden}, "
            f"auto (all {hidden}, rotated), none, or a share of the variance such as 0.95"
        )
    return Recipe(
        base=base,
        dialect=dialect,
        words=words,
        remove=remove,
        embeddings=embeddings,
        sequence=sequence or preset.sequence,
        pooling=pooling or preset.pooling,
        word_pooling=pooling or (preset.pooling if words is None else preset.word_pooling),
        precision=precision,
        pca_dims=dims,
        solver=solver or preset.solver,
        weighting=weighting,
        coefficient=float(coefficient),
        corpus=Corpus(corpus, column) if counted and corpus is not None else None,
        dtype=dtype,
        clusters=clusters,
        seed=seed,
    )
