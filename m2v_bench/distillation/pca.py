"""Principal component analysis of the token vectors: one decomposition, truncated to any size."""

import numpy as np

from m2v_bench.errors import BenchError

PcaDims = int | float | str
"""`none`, `auto` (rotate only), a number of components, or a share of the variance between 0 and 1."""

SOLVERS = ("full", "sklearn")

_CHUNK = 8_192  # rows per float64 copy, to bound memory for large vocabularies


def rotate(vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Centre `vectors` and rotate them onto all their principal components.

    Each component's sign is fixed so that its score of largest absolute value is positive, so the result is
    reproducible; a smaller PCA is a prefix of the columns.

    Args:
        vectors: float32 array of shape (tokens, dims).

    Returns:
        `scores`, float32 (tokens, dims), columns by decreasing variance; `variance`, float64 (dims,).
    """
    components, variance = principal_axes(vectors)
    return {"scores": _fix_signs(project(vectors, components)), "variance": variance}


def principal_axes(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the principal components of `vectors`; the covariance is accumulated and decomposed in float64.

    Args:
        vectors: float32 array of shape (n, dims).

    Returns:
        The components as columns, float64 (dims, dims), and their variances, float64 (dims,), decreasing.
    """
    n, n_dims = vectors.shape
    mean = vectors.mean(axis=0, dtype=np.float64)
    covariance = np.zeros((n_dims, n_dims))
    for start in range(0, n, _CHUNK):
        centred = vectors[start : start + _CHUNK] - mean
        covariance += centred.T @ centred
    eigenvalues, eigenvectors = np.linalg.eigh(covariance / (n - 1))
    return eigenvectors[:, ::-1], np.clip(eigenvalues[::-1], 0, None)


def project(vectors: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Centre `vectors` and return their scores on components, float32 of shape (n, components)."""
    mean = vectors.mean(axis=0, dtype=np.float64)
    scores = np.empty((len(vectors), components.shape[1]), dtype=np.float32)
    for start in range(0, len(vectors), _CHUNK):
        scores[start : start + _CHUNK] = (vectors[start : start + _CHUNK] - mean) @ components
    return scores


def sklearn_scores(vectors: np.ndarray, n: int, seed: int) -> np.ndarray:
    """Compute the first `n` component scores with scikit-learn's solver for the shape (Model2Vec until 0.3.7).

    The solver is exact for many tokens of few dimensions, and randomized, hence seeded, otherwise.

    Returns:
        float32 array of shape (tokens, n), signs fixed as in `rotate`.
    """
    from sklearn.decomposition import PCA

    return _fix_signs(PCA(n_components=n, random_state=seed).fit_transform(vectors).astype(np.float32))


def _fix_signs(scores: np.ndarray) -> np.ndarray:
    scores *= np.where(-scores.min(axis=0) > scores.max(axis=0), -1, 1).astype(np.float32)
    return scores


def parse_dims(value: object) -> PcaDims:
    """Parse and check a value of `pca_dims`.

    Raises:
        BenchError: when the value is neither `none`, `auto`, a positive integer, nor a share in (0, 1).
    """
    allowed = "allowed: none, auto (rotate only), a positive integer, or a share of the variance such as 0.95"
    if value is None or value in ("none", "auto"):
        return "none" if value is None else str(value)
    if isinstance(value, str):
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            raise BenchError(f"pca_dims={value}: not a PCA size; {allowed}") from None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BenchError(f"pca_dims={value}: not a PCA size; {allowed}")
    if isinstance(value, float) and 0 < value < 1:
        return value
    if isinstance(value, int) and value >= 1:
        return value
    raise BenchError(f"pca_dims={value}: not a PCA size; {allowed}")


def n_components(dims: PcaDims, variance: np.ndarray) -> int:
    """Return the number of components that `dims` keeps."""
    if dims == "auto":
        return len(variance)
    if isinstance(dims, float):
        share = np.cumsum(variance) / variance.sum()
        return min(int(np.searchsorted(share, dims)) + 1, len(variance))
    return int(dims)
