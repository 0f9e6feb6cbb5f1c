"""The models that a distilled one is compared with, by name."""

from collections.abc import Callable, Iterable

from m2v_bench.baselines.encoder import Encoder, Model
from m2v_bench.baselines.glove import glove
from m2v_bench.baselines.sentence_transformer import teacher
from m2v_bench.baselines.static import wordllama
from m2v_bench.distillation.base import BaseModel
from m2v_bench.errors import BenchError

__all__ = ["BASELINES", "Encoder", "Model", "check_names", "load_baselines"]

# name -> (the assets it needs, how it is made)
BASELINES: dict[str, tuple[tuple[str, ...], Callable[[BaseModel], Model]]] = {
    "teacher": ((), teacher),
    "glove-6b-50d": (("glove-6b-50d",), lambda base: glove("glove-6b-50d", "GloVe 6B 50d")),
    "wordllama-256": (("wordllama-256",), lambda base: wordllama("wordllama-256", "WordLlama 256")),
}


def check_names(names: Iterable[str]) -> list[str]:
    """The assets that the named baselines need.

    Raises:
        BenchError: for a name that no baseline has.
    """
    unknown = [name for name in names if name not in BASELINES]
    if unknown:
        raise BenchError(f"baselines: unknown {', '.join(unknown)}; allowed: {', '.join(BASELINES)}, or [] for none")
    return [asset for name in names for asset in BASELINES[name][0]]


def load_baselines(names: Iterable[str], base: BaseModel) -> list[Model]:
    """The named baselines; `teacher` is the base model of the run."""
    return [BASELINES[name][1](base) for name in dict.fromkeys(names)]
