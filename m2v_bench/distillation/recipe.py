"""Resolve settings into a recipe: base model, words, corpus, and the name and revision of the model."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from m2v_bench.cache import content_hash
from m2v_bench.distillation.corpus import COUNTS_VERSION, Corpus
from m2v_bench.distillation.dialects import Dialect
from m2v_bench.distillation.distill_config import SIF_COEFFICIENT, UNUSED_TOKENS, DistillConfig
from m2v_bench.distillation.teacher import BaseModel, find_base
from m2v_bench.distillation.training.training_texts import training_corpora, training_key
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.distillation.words import Words, load_words
from m2v_bench.errors import BenchError

# Increment a stage's version when its code gives different numbers for the same input.
FORWARD_VERSION = 3
ROTATION_VERSION = 2
_ASSEMBLY_VERSION = 2
_TRAINING_VERSION = 1
WORDS_VERSION = 2


@dataclass(frozen=True)
class Recipe:
    """Specification of a static model: everything that determines its numbers.

    Attributes:
        base: the sentence transformer.
        config: the resolved settings.
        words: words to add, or to use alone; None for the base model's subwords.
        word_pooling: a name in `POOLINGS`, for words.
        corpus: texts in which frequencies are counted; None for weightings that use none.
        training_corpora: texts to train on; empty without training.
    """

    base: BaseModel
    config: DistillConfig
    words: Words | None
    word_pooling: str
    corpus: Corpus | None
    training_corpora: tuple[Corpus, ...] = ()

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
        """Return a copy with other settings, which are not checked; base model, words and corpus stay."""
        return replace(self, config=replace(self.config, **settings))

    @cached_property
    def vocabulary(self) -> str:
        """Name of the vocabulary: `model`, or that of the words, e.g. `glove` or `glove_subword`."""
        return "model" if self.words is None else self.words.source + "_subword" * self.words.subwords

    @cached_property
    def _unusual(self) -> dict[str, Any]:
        """Settings that affect the numbers and differ from the defaults, by name."""
        preset, words, corpus = self.preset, self.words, self.corpus
        has_forward = self.config.embeddings == "output"
        training = self.config.training
        # `auto`, a share of variance and training use the exact rotation
        has_solver = isinstance(self.config.pca_dims, int) and not training
        has_coefficient = WEIGHTINGS[self.weighting].uses_coefficient or training.finish == "pca_sif"
        own_weighting = WEIGHTINGS[self.weighting].revision
        is_seeded = (
            bool(training)
            or self.config.vocabulary_quantization is not None
            or (has_solver and self.config.pca_solver == "sklearn")
        )
        settings: dict[str, tuple[Any, bool]] = {
            "words": (words and len(words.words), words is not None),
            "words_revision": (words and words.revision, words is not None),
            "remove": (str(self.config.token_remove_pattern), self.config.token_remove_pattern != UNUSED_TOKENS),
            "embeddings": (self.config.embeddings, self.config.embeddings != "output"),
            "sequence": (self.sequence, has_forward and self.sequence != preset.sequence),
            "word_pooling": (
                self.word_pooling,
                has_forward and words is not None and self.word_pooling != preset.word_pooling,
            ),
            "precision": (self.config.precision, has_forward and self.config.precision != "fp32"),
            "solver": (self.config.pca_solver, has_solver and self.config.pca_solver != preset.solver),
            "weighting_revision": (own_weighting, own_weighting is not None),
            "sif_coefficient": (self.config.sif_coefficient, has_coefficient),
            "corpus": (corpus and corpus.label, corpus is not None),
            "corpus_revision": (corpus and corpus.revision, corpus is not None),
            "vocabulary_quantization": (
                self.config.vocabulary_quantization,
                self.config.vocabulary_quantization is not None,
            ),
            "seed": (self.config.seed, is_seeded),
        }
        used = {name: value for name, (value, is_unusual) in settings.items() if is_unusual}
        return used | training_key(training, self.training_corpora)

    @cached_property
    def variant(self) -> dict[str, Any]:
        """The recipe as plain values, for result files."""
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
        """Hash of the base model's content and every setting that affects the numbers."""
        versions: list[int | str] = [FORWARD_VERSION, ROTATION_VERSION, _ASSEMBLY_VERSION]
        versions += [COUNTS_VERSION] * (self.corpus is not None)
        versions += [f"words {WORDS_VERSION}"] * (self.words is not None)
        versions += [f"training {_TRAINING_VERSION}"] * bool(self.config.training)
        return content_hash({**self.variant, "base_revision": self.base.revision, "versions": versions})

    @property
    def label(self) -> str:
        """The model's label in tables and plots; common values are left out to keep it short."""
        preset, words, unusual = self.preset, self.words, self._unusual
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
            f"trained {self._training_label}": bool(self.config.training),
            f"without {self.config.token_remove_pattern}": self.config.token_remove_pattern != UNUSED_TOKENS,
        }
        return " ".join(part for part, shown in parts.items() if shown)

    @property
    def _training_label(self) -> str:
        """Loss, texts and unusual settings of the training."""
        unusual = self.config.training.unusual()
        loss, n_texts = unusual.pop("training.loss", None), unusual.pop("training.n_texts", None)
        texts = "" if n_texts is None else f"{n_texts:,} texts of "
        parts = [f"{loss} on {texts}{'+'.join(Path(corpus.label).stem for corpus in self.training_corpora)}"]
        parts += [f"{name.partition('.')[2]}={value}" for name, value in unusual.items()]
        return " ".join(parts)

    @property
    def name(self) -> str:
        """The model's name in result files; unique together with the revision."""
        parts = [self.vocabulary, f"pca{self.config.pca_dims}", self.weighting, self.config.quantize_to]
        parts += ["trained"] * bool(self.config.training)
        return f"m2v_bench/{self.variant['base_model']}-{'-'.join(parts)}"


def make_recipe(
    model: Any, config: DistillConfig | None = None, *, tokenizer: Any = None, revision: str | None = None
) -> Recipe:
    """Check every setting, fill in the dialect's defaults, and find the base model, the words and the corpus.

    Args:
        model: a catalog name, a name on the hub, a folder, or a loaded `transformers` model.
        config: the settings; None for the defaults.
        tokenizer: the tokenizer of a loaded model.
        revision: commit on the hub; None takes the newest.

    Raises:
        BenchError: naming the wrong setting and what is allowed.
    """
    requested = config or DistillConfig()
    config = requested.resolved()
    dims = config.pca_dims
    words = load_words(config.vocabulary, subwords=config.subwords, size=config.vocabulary_size)
    if isinstance(dims, int) and words is not None and not words.subwords and dims > len(words.words):
        raise BenchError(
            f"pca_dims={dims}: vocabulary {words.source} has only {len(words.words)} words; "
            "PCA needs at least as many words as dimensions. Set pca_dims=none or give more words"
        )
    base = find_base(model, tokenizer, revision=revision)
    hidden = base.hidden_size
    if isinstance(dims, int) and dims > hidden:
        raise BenchError(
            f"pca_dims={dims}: {base.name.rsplit('/', 1)[-1]} has {hidden} dimensions; allowed: 1 to {hidden}, "
            f"auto (all {hidden}, rotated), none, or a share of the variance such as 0.95"
        )
    needs_corpus = WEIGHTINGS[str(config.weighting)].uses_corpus and config.corpus is not None
    return Recipe(
        base=base,
        config=config,
        words=words,
        # a pooling set by the user applies to subwords and words alike
        word_pooling=str(config.pooling if requested.pooling or words is None else config.preset.word_pooling),
        corpus=Corpus(str(config.corpus), config.corpus_column) if needs_corpus else None,
        training_corpora=tuple(training_corpora(config.training)),
    )
