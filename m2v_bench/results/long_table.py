"""Read and write the file of `m2v-bench export`: a long table in Parquet, with the runs' records as metadata."""

import base64
import functools
import json
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2v_bench.errors import BenchError

_KEY = b"m2v_bench"
_FORMAT = 1

COLUMNS = (
    "model", "revision", "label", "kind", "folder", "variant", "task", "type", "split", "subset", "main_score",
    "dataset_revision", "mteb_version", "torch_versions", "seconds", "cost_seconds", "peak_rss_bytes", "texts_asked",
    "texts_encoded",
)  # fmt: skip
"""The fixed columns; those after them, `variant.NAME`, repeat the variant's settings one by one."""


@dataclass(frozen=True)
class LongTable:
    """A read file.

    Attributes:
        rows: one per model, task, split and subset, with the `COLUMNS`.
        experiments: the sweeps and runs, as `experiment.to_json` describes them.
    """

    rows: Sequence[Mapping[str, Any]]
    experiments: Sequence[Mapping[str, Any]]


def write_table(path: Path, rows: Sequence[Mapping[str, Any]], experiments: Sequence[Mapping[str, Any]]) -> None:
    """Write the file; readers see the whole file or none.

    Args:
        path: the file.
        rows: with the `COLUMNS`; `variant` and `torch_versions` are JSON.
        experiments: plain values.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = pd.DataFrame([{name: row[name] for name in COLUMNS} for row in rows], columns=list(COLUMNS))
    frame = frame.astype(dict.fromkeys(("peak_rss_bytes", "texts_asked", "texts_encoded"), "Int64"))
    frame = frame.astype(dict.fromkeys(("main_score", "seconds", "cost_seconds"), "float64"))
    variants = [json.loads(row["variant"]) for row in rows]
    for name in dict.fromkeys(name for variant in variants for name in variant):
        frame[f"variant.{name}"] = _column([variant.get(name) for variant in variants])
    table = pa.Table.from_pandas(frame, preserve_index=False)
    records = lzma.compress(json.dumps(experiments, separators=(",", ":")).encode(), preset=9)
    about = {"version": _FORMAT, "experiments": base64.b64encode(records).decode()}
    metadata = {**(table.schema.metadata or {}), _KEY: json.dumps(about).encode()}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    # a stored schema would repeat the metadata
    options = {"compression": "zstd", "compression_level": 19, "store_schema": False}
    with pq.ParquetWriter(temporary, table.schema.remove_metadata(), **options) as writer:
        writer.write_table(table.replace_schema_metadata(None))
        writer.add_key_value_metadata(metadata)
    temporary.replace(path)


def _column(values: Sequence[Any]) -> Any:
    """Return a setting's column: numbers where all values are, else text."""
    import pandas as pd

    given = [value for value in values if value is not None]
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in given)
    dtype = "string" if not numbers else "Int64" if all(isinstance(value, int) for value in given) else "Float64"
    return pd.array([None if value is None else value if numbers else str(value) for value in values], dtype=dtype)


def read_table(path: Path) -> LongTable:
    """Read a file that `write_table` wrote.

    Raises:
        BenchError: when it is another file, or of a later version.
    """
    stat = path.stat()
    return _read(path, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, size: int, modified: int) -> LongTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        about = json.loads((pq.read_metadata(path).metadata or {})[_KEY])
        version = about["version"]
        if version == _FORMAT:
            rows = pq.read_table(path, columns=list(COLUMNS)).to_pylist()
            return LongTable(rows, json.loads(lzma.decompress(base64.b64decode(about["experiments"]))))
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException, lzma.LZMAError) as error:
        raise BenchError(
            f"results {path}: is neither a results folder nor a file of `m2v-bench export` "
            f"({type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'damaged'})"
        ) from None
    raise BenchError(f"results {path}: has version {version} of the format; this m2v_bench reads {_FORMAT}")
