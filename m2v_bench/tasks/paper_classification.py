"""SST-2, IMDB, TREC and AG News as the Model2Vec authors classify them (README of October 2024), and on the test split.

A text is classified by logistic regression (at most 1,000 iterations) on standardized embeddings. The authors hold out
10 % of the training split, drawn with seed 42, and report the micro F1, which equals the accuracy. Each protocol has a
separate column in tables.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset, DatasetDict

from m2v_bench.errors import BenchError
from m2v_bench.tasks.own_task import FromFiles, own_metadata
from m2v_bench.tasks.samples import Samples

HELD_OUT_SHARE, HELD_OUT_SEED = 0.1, 42


class _FullClassification(FromFiles):
    """Logistic regression on all training texts."""

    text: ClassVar[str]
    label: ClassVar[str]

    def arrange(self, parts: dict[str, Dataset]) -> DatasetDict:
        """Keep texts and labels; split off the held-out part where the protocol does."""
        kept = {
            part: rows.select_columns([self.text, self.label]).rename_columns({self.text: "text", self.label: "label"})
            for part, rows in parts.items()
        }
        if "test" not in kept:
            return DatasetDict(kept["train"].train_test_split(test_size=HELD_OUT_SHARE, seed=HELD_OUT_SEED))
        if -1 in kept["test"]["label"][:]:
            raise BenchError(f"{self.metadata.name}: this copy of the test split hides its labels")
        if unknown := sorted(set(kept["test"]["label"][:]) - set(kept["train"]["label"][:]), key=str):
            raise BenchError(
                f"{self.metadata.name}: the test split has labels that no training text has: {unknown[0]!r}"
            )
        return DatasetDict(kept)

    def _evaluate_subset(
        self, model: Any, data_split: Any, *, encode_kwargs: Any, prediction_folder: Path | None = None, **kwargs: Any
    ) -> dict[str, float]:
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        train = self._rows("train")
        classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        classifier.fit(self.embed(model, train["text"], encode_kwargs), np.asarray(train["label"]))
        predicted = classifier.predict(self.embed(model, data_split["text"], encode_kwargs))
        hits = predicted == np.asarray(data_split["label"])
        if prediction_folder:
            samples = {"": Samples("mean", hits.astype(np.float32), None, "text")}
            self._save_task_predictions(
                samples, model, prediction_folder, hf_split=kwargs["hf_split"], hf_subset=kwargs["hf_subset"]
            )
        return {"accuracy": float(hits.mean())}


def _task(
    name: str, *, repository: str, config: str | None, text: str, label: str, about: str, held_out: bool
) -> type[_FullClassification]:
    protocol = (
        f"trained on 90 % of the training split, tested on the other 10 %, seed {HELD_OUT_SEED}"
        if held_out
        else "trained on the training split, tested on the test split"
    )
    folder = name.lower().replace("-", "").replace(" ", "_")
    task_name = f"{name.replace(' ', '').replace('-', '')}{'HeldOut' if held_out else 'Test'}"
    parts = ["train"] if held_out else ["train", "test"]
    fields = {
        "group": "Classification (10 % held out)" if held_out else "Classification (test split)",
        "files": {part: f"classification/{folder}/{part}.parquet" for part in parts},
        # None for a repository that is a script, or that hides the labels of its test split
        "repository": repository if config and (held_out or repository != _HIDES_TEST_LABELS) else None,
        "configs": {part: (config, part) for part in parts},
        "columns": dict.fromkeys(parts, (text, label)),
        "text": text,
        "label": label,
        "metadata": own_metadata(
            task_name,
            "Classification",
            "accuracy",
            f"{about} Logistic regression on standardized embeddings, {protocol}. Accuracy.",
            path=repository,
            category="t2c",
        ),
    }
    return type(task_name, (_FullClassification,), fields)


_HIDES_TEST_LABELS = "stanfordnlp/sst2"
_DATA: tuple[dict[str, Any], ...] = (
    {
        "name": "SST-2",
        "repository": _HIDES_TEST_LABELS,
        "config": "default",
        "text": "sentence",
        "label": "label",
        "about": "Sentiment.",
    },
    {
        "name": "IMDB",
        "repository": "stanfordnlp/imdb",
        "config": "plain_text",
        "text": "text",
        "label": "label",
        "about": "Sentiment.",
    },
    {
        "name": "TREC",
        "repository": "CogComp/trec",
        "config": None,
        "text": "text",
        "label": "coarse_label",
        "about": "Kind of answer.",
    },
    {
        "name": "AG News",
        "repository": "fancyzhx/ag_news",
        "config": "default",
        "text": "text",
        "label": "label",
        "about": "Topic of news.",
    },
)
CLASSIFICATION_TASKS: dict[str, type[_FullClassification]] = {
    cls.metadata.name: cls for held_out in (True, False) for cls in (_task(**data, held_out=held_out) for data in _DATA)
}
