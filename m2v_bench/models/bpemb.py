"""BPEmb (Heinzerling and Strube, 2018): averaged vectors of byte-pair subwords."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import content_hash, file_sha256
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError, refuse_lfs_pointer
from m2v_bench.models.model import Model
from m2v_bench.models.vector_files import converted
from m2v_bench.models.word_vectors import mean_rows
from m2v_bench.system.packages import as_baseline, require


class BpembEncoder:
    """Mean of a text's subword vectors, split as in the package `bpemb`; zero for a text without subwords."""

    def __init__(self, pieces: Any, vectors: np.ndarray) -> None:
        self.pieces = pieces
        self.vectors = vectors

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; `batch_size` and `prompt` are ignored."""
        # the vectors were trained on lower-cased text with every digit a 0
        plain = [re.sub(r"\d", "0", text.lower()) for text in texts]
        return mean_rows(self.vectors, self.pieces.EncodeAsIds(plain))


def bpemb(key: str, config: BaselineConfig) -> Model:
    """Load BPEmb from a folder with its SentencePiece model and its vectors in word2vec's format."""
    sentencepiece = require("sentencepiece", extra="bpemb", **as_baseline(key, "bpemb"))
    setting = f"baselines.{key}.name"
    pieces_file, vectors_file = _files(Path(str(config.name)).expanduser(), f"{setting}={config.name}")
    refuse_lfs_pointer(pieces_file, f"{setting}={config.name}")
    folder = converted(vectors_file, setting=setting)
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(pieces_file))
    if len(vectors) != pieces.get_piece_size():
        raise BenchError(
            f"{setting}={config.name}: {pieces_file.name} has {pieces.get_piece_size():,} subwords, "
            f"{vectors_file.name} {len(vectors):,} vectors; take both files of one BPEmb model"
        )
    return Model(
        name=f"local/{vectors_file.name.partition('.w2v')[0]}",
        revision=content_hash([folder.name, file_sha256(pieces_file)]),
        label=config.label or key,
        kind="static",
        dims=vectors.shape[1],
        n_parameters=vectors.size,
        bytes_on_disk=vectors_file.stat().st_size + pieces_file.stat().st_size,
        load=lambda device: BpembEncoder(pieces, vectors),
    )


def _files(folder: Path, setting: str) -> tuple[Path, Path]:
    """Return the SentencePiece model and the vectors in `folder`, which must contain one of each."""
    models, vectors = sorted(folder.glob("*.model")), sorted([*folder.glob("*.w2v.bin"), *folder.glob("*.w2v.txt")])
    if len(models) == len(vectors) == 1:
        return models[0], vectors[0]
    names = ", ".join(file.name for file in [*models, *vectors]) or "neither"
    raise BenchError(
        f"{setting}: must be a folder with one *.model and one *.w2v.bin of BPEmb (found: {names}), for example "
        "en.wiki.bpe.vs50000.model and en.wiki.bpe.vs50000.d300.w2v.bin.\n"
        'The package bpemb downloads these two with BPEmb(lang="en", vs=50000, dim=300).'
    )
