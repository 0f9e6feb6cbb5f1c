"""The model that settings ask for: base model, words and corpus found, every setting resolved, and named."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from m2v_bench.cache import content_hash
from m2v_bench.distillation.corpus import COUNTS_VERSION, Corpus
from m2v_bench.distillation.dialects import Dialect
from m2v_bench.distillation.distill_config import SIF_COEFFICIENT, UNUSED_TOKENS, DistillConfig
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.distillation.words import Words, load_words
from m2v_bench.errors import BenchError

# Raise a stage's number when its code gives other numbers for the same input.
FORWARD_VERSION = 3
ROTATION_VERSION = 2
_ASSEMBLY_VERSION = 2
WORDS_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """A static model to be computed, identified by everything that decides its numbers.

    Attributes:
        base: the sentence transformer.
        config: the settings, resolved.
        words: words to add or to take alone; None for the base model's own subwords.
        word_pooling: a name in `POOLINGS`, for words.
        corpus: where frequencies are counted; None for weightings that use none.
    """

    base: BaseModel
    config: DistillConfig
    words: Words | None
    word_pooling: str
    corpus: Corpus | None

    @property
    def preset(self) -> Dialect:
        """The defaults of the dialect."""
        return self.config.preset

    @property
    def sequence(self) -> str:
        """A name in `dialects.SEQUENCES`."""
        return str(self.config.sequence)

    @property
    def pooling(self) -> str:
        """A name in `POOLINGS`, for subwords."""
        return str(self.config.pooling)

    @property
    def weighting(self) -> str:
        """A name in `WEIGHTINGS`."""
        return str(self.config.weighting)

    def with_settings(self, **settings: Any) -> "Recipe":
        """The same base model, words and corpus with other values of some settings, which are not checked."""
        return replace(self, config=replace(self.config, **settings))

    @cached_property
    def vocabulary(self) -> str:
        """The vocabulary's name: `model`, or that of its words, as in `glove` or `glove_subword`."""
        return "model" if self.words is None else self.words.source + "_subword" * self.words.subwords

    @cached_property
    def _unusual(self) -> dict[str, Any]:
        """What differs from the dialect's and the product's defaults, by the name of its setting."""
        preset, words, corpus = self.preset, self.words, self.corpus
        fed = self.config.embeddings == "output"  # else no sequence goes through the transformer
        solved = isinstance(self.config.pca_dims, int)  # a rotation, and what is cut from it, is exact
        drawn = self.config.vocabulary_quantization is not None or (solved and self.config.pca_solver == "sklearn")
        given: dict[str, tuple[Any, bool]] = {
            "words": (words and len(words.words), words is not None),
            "words_revision": (words and words.revision, words is not None),
            "remove": (str(self.config.token_remove_pattern), self.config.token_remove_pattern != UNUSED_TOKENS),
            "embeddings": (self.config.embeddings, self.config.embeddings != "output"),
            "sequence": (self.sequence, fed and self.sequence != preset.sequence),
            "word_pooling": (self.word_pooling, fed and words is not None and self.word_pooling != preset.word_pooling),
            "precision": (self.config.precision, fed and self.config.precision != "fp32"),
            "solver": (self.config.pca_solver, solved and self.config.pca_solver != preset.solver),
            "sif_coefficient": (self.config.sif_coefficient, WEIGHTINGS[self.weighting].uses_coefficient),
            "corpus": (corpus and corpus.label, corpus is not None),
            "corpus_revision": (corpus and corpus.revision, corpus is not None),
            "vocabulary_quantization": (
                self.config.vocabulary_quantization,
                self.config.vocabulary_quantization is not None,
            ),
            "seed": (self.config.seed, drawn),
        }
        return {name: value for name, (value, differs) in given.items() if differs}

    @cached_property
    def variant(self) -> dict[str, Any]:
        """The recipe as plain values, as the result files keep it."""
        return {
            "base_model": self.base.name.rsplit("/", 1)[-1],
            "dialect": self.config.dialect,
            "vocabulary": self.vocabulary,
            "pooling": self.pooling if self.config.embeddings == "output" else None,
            "pca_dims": self.config.pca_dims,
            "weighting": self.weighting,
            "dtype": self.config.quantize_to,
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
            self.config.dialect: self.config.dialect != "m2v-0.7",
            f"{self.vocabulary} {len(words.words) if words else 0:,}": words is not None,
            "input": self.config.embeddings == "input",
            {"none": "no PCA", "auto": "rotated"}.get(str(self.config.pca_dims), f"{self.config.pca_dims}d"): True,
            f"{self.config.pca_solver} PCA": "solver" in unusual,
            self.weighting: True,
            f"a={self.config.sif_coefficient:g}": "sif_coefficient" in unusual
            and self.config.sif_coefficient != SIF_COEFFICIENT,
            f"on {self.corpus.label if self.corpus else None}": self.corpus is not None,
            self.pooling: self.config.embeddings == "output" and self.pooling != preset.pooling,
            f"words {self.word_pooling}": "word_pooling" in unusual and self.word_pooling != self.pooling,
            self.sequence: "sequence" in unusual,
            self.config.precision: "precision" in unusual,
            self.config.quantize_to: self.config.quantize_to != "float16",
            f"{self.config.vocabulary_quantization} rows": self.config.vocabulary_quantization is not None,
            f"seed {self.config.seed}": "seed" in unusual and self.config.seed != 42,
            f"without {self.config.token_remove_pattern}": self.config.token_remove_pattern != UNUSED_TOKENS,
        }
        return " ".join(part for part, shown in parts.items() if shown)

    @property
    def name(self) -> str:
        """The model's name in result files, readable and unique together with the revision."""
        parts = [self.vocabulary, f"pca{self.config.pca_dims}", self.weighting, self.config.quantize_to]
        return f"m2v_bench/{self.variant['base_model']}-{'-'.join(parts)}"


def make_recipe(
    model: Any, config: DistillConfig | None = None, *, tokenizer: Any = None, revision: str | None = None
) -> Recipe:
    """Check every setting, fill in what the dialect says, and find the base model, the words and the corpus.

    Args:
        model: a catalog name, a name on the hub, a folder, or a loaded `transformers` model.
        config: the settings; the defaults when None.
        tokenizer: the tokenizer of a loaded model.
        revision: the commit to take from the hub; the newest when None.

    Raises:
        BenchError: naming the setting that is wrong and what is allowed.
    """
    asked = config or DistillConfig()
    config = asked.resolved()
    dims = config.pca_dims
    words = load_words(config.vocabulary, subwords=config.subwords, size=config.vocabulary_size)
    if isinstance(dims, int) and words is not None and not words.subwords and dims > len(words.words):
        raise BenchError(
            f"pca_dims={dims}: vocabulary {words.source} has only {len(words.words)} words; "
            "fewer words than dimensions cannot be decomposed. Set pca_dims=none or give more words"
        )
    base = find_base(model, tokenizer, revision=revision)
    hidden = base.hidden_size
    if isinstance(dims, int) and dims > hidden:
        raise BenchError(
            f"pca_dims={dims}: {base.name.rsplit('/', 1)[-1]} has {hidden} dimensions; allowed: 1 to {hidden}, "
            f"auto (all {hidden}, rotated), none, or a share of the variance such as 0.95"
        )
    counted = WEIGHTINGS[str(config.weighting)].uses_corpus and config.corpus is not None
    return Recipe(
        base=base,
        config=config,
        words=words,
        # a pooling that the user set is for subwords and words alike
        word_pooling=str(config.pooling if asked.pooling or words is None else config.preset.word_pooling),
        corpus=Corpus(str(config.corpus), config.corpus_column) if counted else None,
    )
