"""Test how tasks behave while the model hub cannot be reached."""

import time
from pathlib import Path

import datasets
import mteb
import pytest
from huggingface_hub import constants

from m2v_bench.errors import BenchError
from m2v_bench.tasks import hub
from tests.hub_server import hub_server


@pytest.fixture
def unreachable(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note that an earlier task has waited in vain, at an address where nobody listens."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(hub, "_unreachable", ["ConnectError"])
    return hub._unreachable


def test_only_the_first_task_waits_for_the_hub(unreachable: list[str]):
    started = time.monotonic()
    with pytest.raises(BenchError, match=r"mteb/banking77: the model hub cannot be reached; set hub_dir=FOLDER"):
        hub.load_data(mteb.get_task("Banking77Classification"))
    assert time.monotonic() - started < 15  # it asks once; the client's retries take 23 s
    assert not constants.HF_HUB_OFFLINE
    assert not datasets.config.HF_HUB_OFFLINE
    assert unreachable == ["ConnectError"]


def test_a_hub_that_answers_again_is_used_again(
    unreachable: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    assert not hub._answers("some/data", "0" * 40)
    (tmp_path / "README.md").write_text("---\n---\n")
    with hub_server() as (address, repositories):
        repositories.add_dataset(tmp_path, "some/data", "0" * 40)
        monkeypatch.setattr(constants, "ENDPOINT", address)
        assert hub._answers("some/data", "0" * 40)
    assert unreachable == []
