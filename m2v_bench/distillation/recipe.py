"""What a static model is made of: every setting that decides its numbers, checked and named."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from m2v_bench.assets import ModelFolder, resolve_model
from m2v_bench.cache import content_hash
from m2v_bench.distillation.dialects import get_dialect
from m2v_bench.distillation.forward import hidden_size
from m2v_bench.distillation.pooling import POOLINGS
from m2v_bench.distillation.quantization import DTYPES
from m2v_bench.distillation.reduction import PcaDims, parse_dims
from m2v_bench.distillation.weighting import WEIGHTINGS
from m2v_bench.errors import BenchError

UNUSED_TOKENS = r"\[unused\d+\]"
SIF_COEFFICIENT = 1e-4

# Raise a stage's number when its code gives other numbers for the same input.
FORWARD_VERSION = 1
ROTATION_VERSION = 1
_ASSEMBLY_VERSION = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a static model's numbers; what only changes speed is not in it.

    Attributes:
        base: the sentence transformer.
        dialect: which releases' defaults stand behind what is not set here (`dialects.DIALECTS`).
        vocabulary: where the tokens come from; `model` is the base model's own subwords.
        remove: regular expression of tokens to drop, matched at their beginning; None drops none.
        pooling: a name in `POOLINGS`.
        pca_dims: see `reduction.parse_dims`.
        weighting: a name in `WEIGHTINGS`.
        coefficient: SIF's `a`; other weightings do not look at it.
        dtype: a name in `DTYPES`.
    """

    base: ModelFolder
    dialect: str
    vocabulary: str
    remove: str | None
    pooling: str
    pca_dims: PcaDims
    weighting: str
    coefficient: float
    dtype: str

    @cached_property
    def variant(self) -> dict[str, Any]:
        """The recipe as plain values, as the result files keep it."""
        variant: dict[str, Any] = {
            "base_model": self.base.name.rsplit("/", 1)[-1],
            "dialect": self.dialect,
            "vocabulary": self.vocabulary,
            "pooling": self.pooling,
            "pca_dims": self.pca_dims,
            "weighting": self.weighting,
            "dtype": self.dtype,
        }
        if self.weighting == "sif":
            variant["sif_coefficient"] = self.coefficient
        if self.remove != UNUSED_TOKENS:
            variant["remove"] = str(self.remove)
        return variant

    @cached_property
    def revision(self) -> str:
        """A hash over the base model's content and every setting that can move a number."""
        versions = [FORWARD_VERSION, ROTATION_VERSION, _ASSEMBLY_VERSION]
        return content_hash({**self.variant, "base_revision": self.base.revision, "versions": versions})

    @property
    def label(self) -> str:
        """What tables and plots call the model."""
        preset = get_dialect(self.dialect)
        size = {"none": "no PCA", "auto": "rotated"}.get(str(self.pca_dims), f"{self.pca_dims}d")
        parts = ["M2V", self.variant["base_model"], size, self.weighting]
        # what most models share is left out, so that the label stays short
        parts += [f"a={self.coefficient:g}"] * (self.weighting == "sif" and self.coefficient != SIF_COEFFICIENT)
        parts += [self.pooling] * (self.pooling != preset.pooling)
        parts += [self.dtype] * (self.dtype != "float16")
        parts += [f"without {self.remove}"] * (self.remove != UNUSED_TOKENS)
        return " ".join(parts)

    @property
    def name(self) -> str:
        """The model's name in result files, readable and unique together with the revision."""
        parts = [self.vocabulary, f"pca{self.pca_dims}", self.weighting, self.dtype]
        return f"m2v_bench/{self.variant['base_model']}-{'-'.join(parts)}"


def make_recipe(
    model: str,
    *,
    base_revision: str | None = None,
    dialect: str = "m2v-0.7",
    vocabulary: str = "model",
    remove: str | None = UNUSED_TOKENS,
    pooling: str | None = None,
    pca_dims: object = 256,
    weighting: str | None = None,
    coefficient: float = SIF_COEFFICIENT,
    dtype: str = "float16",
) -> Recipe:
    """Check every setting, fill in what the dialect says, and find the base model.

    Raises:
        BenchError: naming the setting that is wrong and what is allowed.
    """
    preset = get_dialect(dialect)
    chosen = {
        "vocabulary.source": (vocabulary, ("model",)),
        "pooling.name": (pooling or preset.pooling, tuple(POOLINGS)),
        "weighting.name": (weighting or preset.weighting, tuple(WEIGHTINGS)),
        "quantization.dtype": (dtype, tuple(DTYPES)),
    }
    for setting, (value, allowed) in chosen.items():
        if value not in allowed:
            raise BenchError(f"{setting}={value}: unknown; allowed: {', '.join(allowed)}")
    if not 0 < coefficient < 1:
        raise BenchError(f"weighting.coefficient={coefficient}: must lie between 0 and 1, e.g. 1e-4")
    dims = parse_dims(pca_dims)
    base = resolve_model(model, base_revision)
    hidden = hidden_size(base.path)
    if isinstance(dims, int) and dims > hidden:
        raise BenchError(
            f"pca.dims={dims}: {model} has {hidden} dimensions; allowed: 1 to {hidden}, "
            f"auto (all {hidden}, rotated), none, or a share of the variance such as 0.95"
        )
    return Recipe(
        dialect=dialect,
        vocabulary=vocabulary,
        remove=remove,
        pooling=pooling or preset.pooling,
        pca_dims=dims,
        weighting=weighting or preset.weighting,
        coefficient=float(coefficient),
        dtype=dtype,
        base=base,
    )
