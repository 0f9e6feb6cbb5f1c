"""BPEmb (Heinzerling and Strube, 2018): vectors of byte-pair subwords, averaged."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from m2v_bench.cache import content_hash, file_sha256, refuse_lfs_pointer
from m2v_bench.config.schema import BaselineConfig
from m2v_bench.errors import BenchError
from m2v_bench.models.model import Model
from m2v_bench.models.vector_files import converted
from m2v_bench.models.word_vectors import mean_rows
from m2v_bench.system.packages import require


class BpembEncoder:
    """The mean of a text's subword vectors, as the package `bpemb` finds them; a text without one is zero."""

    def __init__(self, pieces: Any, vectors: np.ndarray) -> None:
        self.pieces = pieces
        self.vectors = vectors

    def encode(self, texts: Sequence[str], *, batch_size: int, prompt: str | None = None) -> np.ndarray:
        """See `Encoder.encode`; `batch_size` and `prompt` mean nothing to subword vectors."""
        # the vectors were trained on lower-cased text with every digit a 0
        plain = [re.sub(r"\d", "0", text.lower()) for text in texts]
        return mean_rows(self.vectors, self.pieces.EncodeAsIds(plain))


def bpemb(key: str, config: BaselineConfig) -> Model:
    """BPEmb from a folder that holds its SentencePiece model and its vectors in word2vec's format."""
    sentencepiece = require(
        "sentencepiece",
        extra="bpemb",
        setting=f"baselines.{key}.kind=bpemb",
        instead=f"leave {key} out of baseline=[...]",
    )
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


def _files(folder: Path, named: str) -> tuple[Path, Path]:
    """The SentencePiece model and the vectors in `folder`, which must hold one of each."""
    found = sorted(folder.glob("*.model")), sorted([*folder.glob("*.w2v.bin"), *folder.glob("*.w2v.txt")])
    if [len(files) for files in found] == [1, 1]:
        return found[0][0], found[1][0]
    held = ", ".join(file.name for files in found for file in files) or "neither"
    raise BenchError(
        f"{named}: must be a folder with one *.model and one *.w2v.bin of BPEmb (found: {held}), for example "
        "en.wiki.bpe.vs50000.model and en.wiki.bpe.vs50000.d300.w2v.bin.\n"
        'The package bpemb downloads these two with BPEmb(lang="en", vs=50000, dim=300).'
    )
