"""The probing network of PEARL's paraphrase tasks."""

import numpy as np

_HIDDEN = 256
_LEARNING_RATE = 1e-4
_BATCH = 200
_MIN_EPOCHS, _MAX_EPOCHS, _PATIENCE = 3, 100, 5


def probe(vectors: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Train a network of one hidden layer to tell the labels apart, and test it.

    Settings are those of the PEARL paper's code: 256 hidden units, ReLU, Adam with learning rate 1e-4, batches of 200,
    70/15/15 % for training, validation and test, at most 100 epochs, stopped when the validation accuracy has not
    risen for 5. That code shuffles without a seed; here the seed decides the split, the first weights and the batches.

    Args:
        vectors: float array of shape (pairs, dims).
        labels: bool array of shape (pairs,).
        seed: of split, weights and batches.

    Returns:
        Whether each pair of the test part was told right: bool array.
    """
    import torch
    from torch import nn

    from m2v_bench.system.threads import one_thread

    rng = np.random.default_rng(seed)
    train, valid, test = np.split(
        rng.permutation(len(labels)), [-(-len(labels) * 70 // 100), -(-len(labels) * 85 // 100)]
    )
    x = torch.from_numpy(np.ascontiguousarray(vectors, dtype=np.float32))
    y = torch.from_numpy(labels.astype(np.float32))

    # one thread: sums in another order would give another network on another machine
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(x.shape[1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))
        adam = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
        loss = nn.BCEWithLogitsLoss()

        def right(rows: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                told = network(x[rows]).squeeze(1) >= 0
            return (told.numpy() == labels[rows]).astype(bool)

        best, since = -1.0, 0
        for epoch in range(_MAX_EPOCHS):
            order = rng.permutation(train)
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                adam.zero_grad()
                loss(network(x[rows]).squeeze(1), y[rows]).backward()
                adam.step()
            accuracy = float(right(valid).mean())
            best, since = (accuracy, 0) if accuracy > best else (best, since + 1)
            if since >= _PATIENCE and epoch + 1 >= _MIN_EPOCHS:
                break
        return right(test)
