"""Fit the rows of tokens to target embeddings of texts with plain torch."""

import io
import pickle
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.cache import cache_errors
from m2v_bench.distillation.training.training_config import TrainingConfig
from m2v_bench.distillation.training.training_texts import Bags, split

_CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True)
class Fit:
    """Trained rows and how the loss fell.

    Attributes:
        rows: float32 of shape (tokens, dims), factors of tokens included.
        losses: mean loss over the texts trained on, per epoch.
        held_out: loss on the held-out texts before training and after each epoch.
        best: the epoch of the rows, 0 for those before training.
        texts: number of texts, held-out ones included.
    """

    rows: np.ndarray
    losses: list[float]
    held_out: list[float]
    best: int
    texts: int

    @property
    def diverged(self) -> bool:
        """Whether training stopped because a loss was not finite or far above its start."""
        return _has_diverged(self.losses, self.held_out)

    def summary(self) -> dict[str, Any]:
        """Return everything but the rows as plain values, for records and model cards."""
        return {"texts": self.texts, "losses": self.losses, "held_out": self.held_out, "best": self.best}


def fit(
    rows: np.ndarray,
    bags: Bags,
    targets: np.ndarray,
    config: TrainingConfig,
    *,
    seed: int,
    device: str = "cpu",
    unfinished: Path | None = None,
    show_progress: bool = True,
) -> Fit:
    """Train rows so that the mean of a text's rows predicts the text's target.

    Adam steps on the rows of the tokens that occur; the others stay. Every epoch visits the texts in another order.
    The rows with the best held-out loss are kept.

    Args:
        rows: where training starts, float32 of shape (tokens, dims).
        bags: token ids of the texts, none of them empty.
        targets: float32 of shape (texts, dims).
        config: loss, optimizer and stopping rule.
        seed: of the order of the texts.
        device: torch device.
        unfinished: folder of checkpoints, one per epoch; the caller removes it. Training that was interrupted goes on
            from the last one to the same bytes.
        show_progress: show a progress bar.

    Raises:
        BenchError: when there are fewer texts than a batch needs.
    """
    held_out, training = split(len(bags), config)
    used, ids = np.unique(bags.ids, return_inverse=True)
    start = rows[used]
    scale = float(np.sqrt(np.einsum("ij,ij->", start, start, dtype=np.float64) / start.size)) or 1.0
    start /= np.float32(scale)
    task = _Task(start, Bags(ids.reshape(-1).astype(np.int32), bags.offsets), targets, config, device, scale=scale)
    state = _State.load(unfinished, task) or _State.first(task, held_out)
    n_steps = len(training) // config.batch_size
    with tqdm(
        total=config.epochs * n_steps * config.batch_size,
        initial=state.epoch * n_steps * config.batch_size,
        desc="training",
        unit=" texts",
        disable=not show_progress,
    ) as bar:
        while state.epoch < config.epochs and state.is_improving(config):
            order = np.random.default_rng([seed, state.epoch]).permutation(training)
            loss = 0.0
            for texts in _in_batches(order, config.batch_size):
                loss += task.step(texts) / n_steps
                bar.update(len(texts))
            state.finish_epoch(task, loss, task.loss_of(held_out))
            bar.set_postfix_str(f"held-out loss {state.held_out[-1]:.4f}")
            if unfinished is not None:
                state.save(unfinished, task)
    del task, start  # makes room for the rows
    trained = rows.copy()
    if state.rows is not None:
        state.rows *= np.float32(scale)
        trained[used] = state.rows
    return Fit(trained, state.losses, state.held_out, state.best, len(bags))


def _has_diverged(losses: list[float], held_out: list[float]) -> bool:
    """Return whether the last loss is not finite, or held-out texts fit much worse than before training."""
    return not np.isfinite([*losses[-1:], held_out[-1]]).all() or held_out[-1] > 2 * max(held_out[0], 1e-6)


def _in_batches(order: np.ndarray, size: int) -> Iterator[np.ndarray]:
    """Yield whole batches; the last texts of the order may be too few for one."""
    for start in range(0, len(order) - size + 1, size):
        yield order[start : start + size]


class _Task:
    """Texts, targets, parameters and optimizer on a device."""

    def __init__(
        self,
        rows: np.ndarray,
        bags: Bags,
        targets: np.ndarray,
        config: TrainingConfig,
        device: str,
        *,
        scale: float,
    ) -> None:
        import torch

        self.bags, self.targets, self.config, self.device = bags, targets, config, device
        self.scale = scale  # of the targets; dividing batches spares a copy of all
        self.rows = torch.nn.Parameter(torch.from_numpy(rows).to(device))  # on a CPU, the array itself
        self.start = self.rows.detach().clone() if config.regularization else None
        self.log_weights = torch.nn.Parameter(torch.zeros(len(rows), device=device)) if config.token_weights else None
        parameters = [self.rows] if self.log_weights is None else [self.rows, self.log_weights]
        self.optimizer = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)

    def step(self, texts: np.ndarray) -> float:
        """Make a step on a batch; return its loss."""
        self.optimizer.zero_grad()
        loss = self._loss(texts)
        if self.start is not None:
            loss = loss + self.config.regularization * (self.rows - self.start).square().mean()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def loss_of(self, texts: np.ndarray) -> float:
        """Return the mean loss over batches of the size that training uses, or one smaller batch."""
        import torch

        size = min(self.config.batch_size, len(texts))
        with torch.inference_mode():
            return float(np.mean([float(self._loss(batch)) for batch in _in_batches(texts, size)]))

    def _loss(self, texts: np.ndarray) -> Any:
        """Return the loss of a batch.

        Mean squared error and cosine as in tokenlearn; contrastive is InfoNCE (van den Oord et al., 2018): the cross
        entropy of the text's target among those of the batch, from cosines divided by the temperature.
        """
        import torch
        from torch.nn import functional

        embeddings = self._embeddings(texts)
        targets = torch.from_numpy(self.targets[texts] / np.float32(self.scale)).to(self.device)
        if self.config.loss == "mse":
            return functional.mse_loss(embeddings, targets)
        if self.config.loss == "cosine":
            return 1 - functional.cosine_similarity(embeddings, targets).mean()
        cosines = functional.normalize(embeddings) @ functional.normalize(targets).T
        return functional.cross_entropy(cosines / self.config.temperature, torch.arange(len(texts), device=self.device))

    def _embeddings(self, texts: np.ndarray) -> Any:
        """Return the mean of each text's weighted rows, of shape (texts, dims)."""
        import torch
        from torch.nn import functional

        bags = self.bags.take(texts)
        ids, offsets = (
            torch.from_numpy(part).to(self.device) for part in (bags.ids, bags.offsets[:-1].astype(np.int32))
        )
        if self.log_weights is None:
            return functional.embedding_bag(ids, self.rows, offsets, mode="mean")
        lengths = torch.from_numpy(np.diff(bags.offsets)).to(self.device)
        weights = self.log_weights.exp()[ids] / lengths.repeat_interleave(lengths)
        return functional.embedding_bag(ids, self.rows, offsets, mode="sum", per_sample_weights=weights)

    def weighted_rows(self, out: np.ndarray | None) -> np.ndarray:
        """Return the rows times their tokens' factors, float32 of shape (tokens, dims), in `out` if it is given."""
        rows = self.rows.detach().cpu().numpy()
        out = np.empty_like(rows) if out is None else out
        if self.log_weights is None:
            np.copyto(out, rows)
        else:
            np.multiply(rows, self.log_weights.detach().exp().cpu().numpy()[:, None], out=out)
        return out


@dataclass
class _State:
    """What a checkpoint holds beside parameters and optimizer; `rows` are the best so far, None before training."""

    held_out: list[float]
    rows: np.ndarray | None = None
    losses: list[float] = field(default_factory=list)
    epoch: int = 0
    best: int = 0

    @classmethod
    def first(cls, task: _Task, held_out: np.ndarray) -> "_State":
        """Return the state before training."""
        return cls([task.loss_of(held_out)])

    def is_improving(self, config: TrainingConfig) -> bool:
        """Whether another epoch is worth it."""
        return not _has_diverged(self.losses, self.held_out) and self.epoch - self.best < config.patience

    def finish_epoch(self, task: _Task, loss: float, held_out: float) -> None:
        """Note the losses of an epoch, and keep its rows if they are the best."""
        self.epoch += 1
        self.losses.append(loss)
        self.held_out.append(held_out)
        if held_out < self.held_out[self.best]:
            self.rows, self.best = task.weighted_rows(out=self.rows), self.epoch

    def save(self, folder: Path, task: _Task) -> None:
        """Write a checkpoint, atomically."""
        import torch

        file = folder / _CHECKPOINT
        with cache_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
            temporary = file.with_suffix(".new")
            rows = None if self.rows is None else torch.from_numpy(self.rows)
            content = vars(self) | {"rows": rows, "optimizer": task.optimizer.state_dict()}
            content["parameters"] = [parameter.detach() for parameter in task.optimizer.param_groups[0]["params"]]
            buffer = io.BytesIO()
            torch.save(content, buffer)  # to memory, as it raises no OSError for a full disk
            temporary.write_bytes(buffer.getbuffer())
            temporary.replace(file)

    @classmethod
    def load(cls, folder: Path | None, task: _Task) -> "_State | None":
        """Read a checkpoint into `task`; return None without a readable one."""
        import torch

        if folder is None or not (folder / _CHECKPOINT).is_file():
            return None
        try:
            content = torch.load(folder / _CHECKPOINT, weights_only=True, map_location=task.device)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):  # cut off, e.g. by a power cut
            return None
        with torch.no_grad():
            for parameter, saved in zip(
                task.optimizer.param_groups[0]["params"], content.pop("parameters"), strict=True
            ):
                parameter.copy_(saved)
        task.optimizer.load_state_dict(content.pop("optimizer"))
        return cls(**content | {"rows": None if content["rows"] is None else content["rows"].cpu().numpy()})
