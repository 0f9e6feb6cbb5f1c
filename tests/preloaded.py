"""Modules that a forkserver imports once, so that each process forked from it need not; see `processes`."""

import datasets  # noqa: F401
import matplotlib.pyplot  # noqa: F401
import mlflow  # noqa: F401
import mteb  # noqa: F401
import numba  # noqa: F401
import pandas  # noqa: F401
import rich.console  # noqa: F401
import sentence_transformers  # noqa: F401
import sklearn.cluster
import sklearn.decomposition
import sklearn.linear_model  # noqa: F401
import torch  # noqa: F401
