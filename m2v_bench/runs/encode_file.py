"""Embed the texts of a file with a static model."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from m2v_bench.assets.table_files import TEXT_SUFFIXES, TableFile, allowed_suffixes
from m2v_bench.errors import BenchError
from m2v_bench.inference.output_precision import Precision
from m2v_bench.inference.static_model import StaticModel

_BATCH = 8_192  # texts


def encode_file(
    model: str | Path, file: Path, out: Path, *, column: str = "text", precision: Precision = "float32"
) -> np.ndarray:
    """Write the embeddings of a file's texts to a .npy file, one row per text in file order.

    An empty text, or an empty cell in a table, gets a row of zeros.

    Args:
        model: folder of a static model, or its hub name.
        file: a .txt file with one text per line, or a table (.csv, .tsv, .jsonl, .parquet).
        out: the .npy file to write: array of shape (texts, dims).
        column: the text column of a table.
        precision: of the embeddings, as in `StaticModel.encode`.

    Returns:
        The array.

    Raises:
        BenchError: if the model or the file cannot be read, the file has no texts, or `out` cannot be written.
    """
    if out.suffix != ".npy":
        raise BenchError(f"--out {out}: must end in .npy, the format that numpy.load reads")
    if out.resolve() == file.resolve():
        raise BenchError(f"--out {out}: is the input file; name another file")
    static = StaticModel.from_pretrained(model)
    table = TableFile(file, str(file))
    if table.suffix not in TEXT_SUFFIXES:
        raise BenchError(f"{file}: must be one of {allowed_suffixes(*TEXT_SUFFIXES)}")
    table.check_columns(["text" if table.suffix == ".txt" else column], lambda _: " Name the column with --column.")
    texts = _texts(table, column)
    parts = []
    with tqdm(desc="encoding", unit=" texts", disable=None) as bar:
        while batch := list(islice(texts, _BATCH)):
            parts.append(static.encode(batch, precision=precision))
            bar.update(len(batch))
    embeddings = np.concatenate(parts)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("wb") as stream:
            np.save(stream, embeddings)
    except OSError as error:
        raise BenchError(f"--out {out}: {error.strerror}") from error
    return embeddings


def _texts(table: TableFile, column: str) -> Iterator[str]:
    if table.suffix == ".txt":
        yield from (line for _, line in table.lines(blank=True))
    else:
        yield from (cell or "" for (cell,) in table.rows([column]))
