"""Datasets that answer mteb quickly."""

import copy

import numpy as np
import pytest
from datasets import Dataset, DatasetDict
from mteb._create_dataloaders import _corpus_to_dict, create_dataloader
from mteb.types import PromptType

from m2v_bench.evaluation.columns import Columns, as_columns, forget_lists, texts_of, use_columns
from tests.evaluation.test_quick_mteb import SYNTHETIC

TABLE = {"text": ["a", "b", "c", "d"], "label": [1, 0, 1, 2], "title": ["", "x", "", "y"]}


@pytest.fixture
def stock() -> Dataset:
    return Dataset.from_dict(TABLE)


@pytest.fixture
def columns(stock: Dataset) -> Columns:
    return as_columns(stock)


def test_a_column_is_a_list_that_is_read_once(columns: Columns):
    assert columns["label"] == [1, 0, 1, 2]
    assert isinstance(columns["label"], list)
    assert columns["label"] is columns["label"]
    with pytest.raises(KeyError, match=r"Column labels not in the dataset\. Columns: text, label, title"):
        columns["labels"]


def test_rows_are_those_of_a_dataset(stock: Dataset, columns: Columns):
    assert columns[2] == stock[2]
    assert columns[1:3] == stock[1:3]
    assert columns[[3, 0]] == stock[[3, 0]]
    assert list(columns) == list(stock)
    assert as_columns(columns) is columns
    assert as_columns(stock.with_format("numpy"))["label"][0] == np.int64(1)


def test_copies_do_not_show_columns_of_the_original(columns: Columns):
    assert columns["text"] == ["a", "b", "c", "d"]
    renamed = columns.rename_columns({"text": "old", "title": "text"})
    assert isinstance(renamed, Columns)
    assert renamed["text"] == TABLE["title"]
    assert renamed["old"] == TABLE["text"]
    assert columns.select([3, 1])["text"] == ["d", "b"]
    assert columns.select(range(1, 3)).select([1])["text"] == ["c"]
    assert columns.select([]).num_rows == 0
    assert copy.deepcopy(columns)["text"] == TABLE["text"]
    assert isinstance(DatasetDict(test=columns).select_columns(["text"])["test"], Columns)


def test_map_gives_the_rows_of_a_dataset(stock: Dataset, columns: Columns):
    stock, columns = (table.rename_column("label", "id") for table in (stock, columns))
    expected = stock.map(_corpus_to_dict)
    mapped = columns.map(_corpus_to_dict, desc="documents", num_proc=None)
    assert list(mapped) == list(expected)
    assert mapped.select([3, 0])["text"] == ["y d", "a"]
    assert mapped[1]["text"] == "x b"
    assert mapped["text"] == list(expected["text"])
    assert columns["text"] == TABLE["text"]
    assert list(columns.map(lambda batch: {"n": [0] * len(batch["text"])}, batched=True)["n"]) == [0] * 4


def test_texts_are_those_of_the_data_loader(stock: Dataset, columns: Columns):
    stock, columns = (table.rename_column("label", "id") for table in (stock, columns))
    metadata = SYNTHETIC["retrieval"]().metadata
    loaders = [
        create_dataloader(table, task_metadata=metadata, prompt_type=PromptType.document, batch_size=3)
        for table in (stock, columns)
    ]
    texts = [text for batch in loaders[0] for text in batch["text"]]
    for loader in (*loaders, list(loaders[0])):
        read, n_texts = texts_of(loader)
        assert list(read) == texts
        assert n_texts == len(texts)


@pytest.mark.parametrize("name", ["text", "url"])
def test_a_missing_value_is_refused_as_by_the_data_loader(name: str):
    table = {"text": ["a", "b"], "url": ["c", "d"], name: ["e", None]}
    metadata = SYNTHETIC["sts"]().metadata
    for dataset in (Dataset.from_dict(table), as_columns(Dataset.from_dict(table))):
        loader = create_dataloader(dataset, task_metadata=metadata, batch_size=2)
        with pytest.raises(ValueError, match=f"Found None in batch for key '{name}'"):
            list(loader)
        with pytest.raises(ValueError, match=f"Found None in batch for key '{name}'"):
            list(texts_of(loader)[0])


def test_lists_are_freed():
    task = SYNTHETIC["retrieval"]()
    task.load_data()
    use_columns(task)
    corpus = task.dataset["default"]["test"]["corpus"]
    before = corpus["text"]
    assert corpus["text"] is before
    forget_lists(task)
    assert corpus["text"] == before
    assert corpus["text"] is not before
