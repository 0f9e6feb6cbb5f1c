"""Use a static model as a scikit-learn transformer."""

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin

from m2v_bench.inference.static_model import MaxLength, StaticModel
from m2v_bench.inference.texts import as_list
from m2v_bench.inference.tokenizer import BATCH_SIZE


class StaticEmbedder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Embed texts as a step of a scikit-learn pipeline.

    Nothing is learnt: `fit` only loads the model, and `transform` without `fit` loads it each time. Clones, as
    `GridSearchCV` makes them, share a loaded model; a name or folder is loaded by each `fit`.

    Example:
        Classify texts::

            from m2v_bench import StaticEmbedder
            from sklearn.linear_model import LogisticRegression
            from sklearn.pipeline import make_pipeline

            classifier = make_pipeline(StaticEmbedder("my-model"), LogisticRegression())
            classifier.fit(["good film", "bad film"], [1, 0]).predict(["a good one"])

    Args:
        model: a loaded `StaticModel`, a folder, or a name on the model hub.
        normalize_embeddings: whether to divide embeddings by their L2 norm; as the model says when None.
        max_length: longest text in tokens; None cuts nothing, `model` is what the model says.
        batch_size: texts per batch at most; does not change the result.

    Attributes:
        model_: the loaded `StaticModel`, set by `fit`.
    """

    def __init__(
        self,
        model: StaticModel | str | Path,
        *,
        normalize_embeddings: bool | None = None,
        max_length: MaxLength = "model",
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self.model = model
        self.normalize_embeddings = normalize_embeddings
        self.max_length = max_length
        self.batch_size = batch_size

    def fit(self, X: Iterable[str], y: Any = None) -> "StaticEmbedder":
        """Load the model.

        Args:
            X: texts, as in `StaticModel.encode`; only their container is checked.
            y: ignored.

        Raises:
            BenchError: when the model cannot be loaded.
            TypeError: when `X` is a table or has no order.
        """
        as_list(X, "X")
        self.model_ = self._load()
        return self

    def transform(self, X: Iterable[str]) -> np.ndarray:
        """Embed texts.

        Args:
            X: texts as a list, an array, a pandas Series, or any other column that `StaticModel.encode` reads.

        Returns:
            float32 array of shape (texts, dims).

        Raises:
            TypeError: when a text is not a string, naming its position, or `X` is a table or has no order.
            BenchError: when the model cannot be loaded.
        """
        model = self.model_ if hasattr(self, "model_") else self._load()
        return model.encode(
            as_list(X, "X"),
            normalize_embeddings=self.normalize_embeddings,
            max_length=self.max_length,
            batch_size=self.batch_size,
        )

    def _load(self) -> StaticModel:
        return self.model if isinstance(self.model, StaticModel) else StaticModel.from_pretrained(self.model)

    @property
    def _n_features_out(self) -> int:
        """The columns that `get_feature_names_out` names."""
        return self.model_.dims

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.requires_fit = False
        return tags

    def __sklearn_clone__(self) -> "StaticEmbedder":
        # scikit-learn would copy a loaded model with its table
        clone = type(self)(**self.get_params(deep=False))
        for name in ("_sklearn_output_config", "_metadata_request"):
            if name in self.__dict__:
                setattr(clone, name, copy.deepcopy(self.__dict__[name]))
        return clone
