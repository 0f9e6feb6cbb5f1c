"""Test the training loop on rows and targets with a known solution."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from m2v_bench.distillation.training import fit as fit_module
from m2v_bench.distillation.training.fit import Fit, fit
from m2v_bench.distillation.training.training_config import TrainingConfig
from m2v_bench.distillation.training.training_texts import Bags
from m2v_bench.errors import BenchError

TOKENS, DIMS, TEXTS = 60, 8, 900


@pytest.fixture(scope="module")
def problem() -> tuple[np.ndarray, Bags, np.ndarray, np.ndarray]:
    """Return rows to start from, texts, their targets, and the rows that give the targets."""
    rng = np.random.default_rng(0)
    truth = rng.standard_normal((TOKENS, DIMS)).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(rng.integers(1, 9, TEXTS))])
    bags = Bags(rng.integers(0, TOKENS - 1, offsets[-1]), offsets)  # the last token occurs nowhere
    targets = np.stack([truth[bags.ids[a:b]].mean(axis=0) for a, b in pairwise(offsets)])
    start = (truth + rng.standard_normal(truth.shape)).astype(np.float32)
    return start, bags, targets, truth


def run(
    problem: tuple[np.ndarray, Bags, np.ndarray, np.ndarray], folder: Path | None = None, **settings: object
) -> Fit:
    start, bags, targets, _ = problem
    given = {"corpus": "unused", "batch_size": 64, "epochs": 12, "learning_rate": 0.02, **settings}
    config = TrainingConfig(**given).resolved()  # type: ignore[arg-type]
    return fit(start, bags, targets, config, seed=1, unfinished=folder, show_progress=False)


@pytest.mark.parametrize("token_weights", [False, True])
@pytest.mark.parametrize("loss", ["mse", "cosine", "contrastive"])
def test_training_lowers_the_held_out_loss(problem, loss: str, token_weights: bool):
    result = run(problem, loss=loss, token_weights=token_weights)
    assert result.best > 0
    assert result.held_out[result.best] < 0.6 * result.held_out[0]
    assert result.held_out[result.best] == min(result.held_out)
    assert len(result.losses) == len(result.held_out) - 1


def test_mean_squared_error_finds_the_rows_of_the_targets(problem):
    start, _, _, truth = problem
    rows = run(problem, loss="mse", epochs=60, patience=5).rows
    assert np.abs(rows[:-1] - truth[:-1]).mean() < 0.2 * np.abs(start[:-1] - truth[:-1]).mean()
    assert np.array_equal(rows[-1], start[-1])


def test_batch_of_texts_equals_means_computed_one_by_one(problem):
    bags = problem[1]
    picked = np.array([5, 0, 899, 5])
    taken = bags.take(picked)
    texts = [taken.ids[a:b] for a, b in pairwise(taken.offsets)]
    assert [text.tolist() for text in texts] == [
        bags.ids[bags.offsets[text] : bags.offsets[text + 1]].tolist() for text in picked
    ]


def test_interrupted_training_resumes_to_the_same_bytes(problem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    whole = run(problem, epochs=6, patience=6)

    class Killed(Exception):
        pass

    def save_and_die(self: object, folder: Path, task: object) -> None:
        save(self, folder, task)
        if self.epoch == 3:  # type: ignore[attr-defined]
            raise Killed

    save = fit_module._State.save
    monkeypatch.setattr(fit_module._State, "save", save_and_die)
    with pytest.raises(Killed):
        run(problem, tmp_path, epochs=6, patience=6)
    monkeypatch.undo()
    resumed = run(problem, tmp_path, epochs=6, patience=6)
    assert resumed.rows.tobytes() == whole.rows.tobytes()
    assert (resumed.held_out, resumed.losses, resumed.best) == (whole.held_out, whole.losses, whole.best)


def test_damaged_checkpoint_is_ignored(problem, tmp_path: Path):
    (tmp_path / "checkpoint.pt").write_bytes(b"cut off")
    assert run(problem, tmp_path, epochs=2).rows.tobytes() == run(problem, epochs=2).rows.tobytes()


def test_diverging_training_stops_and_keeps_the_best_rows(problem):
    start, *_ = problem
    result = run(problem, loss="mse", learning_rate=1e6, patience=9)
    assert result.diverged
    assert len(result.losses) == 1
    assert result.best == 0
    assert np.allclose(result.rows, start, atol=1e-6)


def test_infinite_loss_counts_as_divergence(problem):
    result = run(problem, loss="mse", learning_rate=1e38)
    assert result.diverged
    assert result.best == 0


def test_training_stops_when_the_held_out_loss_does(problem):
    result = run(problem, loss="mse", epochs=400, patience=2)
    assert len(result.losses) < 400
    assert len(result.losses) == result.best + 2


def test_regularization_keeps_rows_near_the_start(problem):
    start, *_ = problem
    free, held = run(problem, loss="mse").rows, run(problem, loss="mse", regularization=100.0).rows
    assert np.abs(held - start).mean() < 0.5 * np.abs(free - start).mean()


def test_too_few_texts_for_a_batch_are_refused(problem):
    with pytest.raises(BenchError, match=r"training.batch_size=900: only 900 usable texts, 18 .* to at most 882"):
        run(problem, batch_size=900)
