"""The probing network of PEARL's paraphrase tasks."""

import numpy as np

_HIDDEN = 256
_LEARNING_RATE = 1e-4
_BATCH = 200
_MIN_EPOCHS, _MAX_EPOCHS, _PATIENCE = 3, 100, 5


def probe(vectors: np.ndarray, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """Train a network of one hidden layer to predict the labels, and test it.

    Settings are those of the PEARL paper's code: 256 hidden units, ReLU, Adam with learning rate 1e-4, batches of 200,
    70/15/15 % for training, validation and test, at most 100 epochs, stopped after 5 without a rise in validation
    accuracy. That code shuffles without a seed; here the seed determines the split, initial weights and batches.

    Args:
        vectors: float array of shape (pairs, dims).
        labels: bool array of shape (pairs,).
        seed: seed of split, weights and batches.

    Returns:
        Whether each test pair was predicted correctly: bool array.
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

    # one thread, as the order of sums, and so the network, would otherwise depend on the machine
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Linear(x.shape[1], _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, 1))
        adam = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
        loss = nn.BCEWithLogitsLoss()

        def is_correct(rows: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                predicted = network(x[rows]).squeeze(1) >= 0
            return (predicted.numpy() == labels[rows]).astype(bool)

        best, since = -1.0, 0
        for epoch in range(_MAX_EPOCHS):
            order = rng.permutation(train)
            for start in range(0, len(order), _BATCH):
                rows = order[start : start + _BATCH]
                adam.zero_grad()
                loss(network(x[rows]).squeeze(1), y[rows]).backward()
                adam.step()
            accuracy = float(is_correct(valid).mean())
            best, since = (accuracy, 0) if accuracy > best else (best, since + 1)
            if since >= _PATIENCE and epoch + 1 >= _MIN_EPOCHS:
                break
        return is_correct(test)
