"""Write golden values with the original releases of model2vec, each in a separate environment.

    python -m scripts.golden [DIALECT ...]

Creates missing environments in `.golden/<version>`, and writes a summary of each release's output to
tests/golden/<dialect>.json, small enough to commit. Takes about ten minutes, plus downloads.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tests.golden.cases import (
    ADDED_WORDS,
    MINILM,
    ODD_TEXTS,
    RELEASES,
    Case,
    Release,
    base_folder,
    real_texts,
    spelled,
    words,
)

HERE = Path(__file__).parents[1] / "tests" / "golden"
ROOT = Path(__file__).parents[1]
WORDLLAMA = ("0.10.0", "0.4.0.post1")  # environment that includes wordllama, and its version

N_ROWS, N_NORMS = 3, 100
N_REAL_TINY = 150  # keeps the file small; the live comparison uses all texts
FULL_TEXTS = (0,)
HEAD = 16
FAVOURITES = ("[UNK]", "<unk>", "the", "▁the", "Ġthe", "##ing", "ing", "quantum", "▁quantum", "▁new▁york", "new york")


def environment(version: str) -> Path:
    """Return the Python of an environment, of a release by its version."""
    return ROOT / ".golden" / version / "bin" / "python"


def make_environment(release: Release) -> None:
    requirements = [f"model2vec[{release.extras}]=={release.version}"]
    if release.version == WORDLLAMA[0]:
        requirements.append(f"wordllama=={WORDLLAMA[1]}")
    install(release.version, requirements)


def install(name: str, requirements: Sequence[str]) -> None:
    """Install requirements and the pinned torch into the environment `.golden/<name>`, unless it is there."""
    if environment(name).exists():
        return
    folder = ROOT / ".golden" / name
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    torch = re.findall(r"^torch==.*$", pins, flags=re.MULTILINE)
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [environment(name), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements, *torch], check=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # an incomplete environment would count as complete
        raise


def run_worker(release: Release, cases: tuple[Case, ...], texts: list[str], scratch: Path) -> dict[str, dict[str, Any]]:
    """Run all cases with a release, and return their arrays by name, with `info` decoded."""
    out = Path(tempfile.mkdtemp(prefix=f"{release.version}-", dir=scratch))
    spec = {
        "cases": [
            {**asdict(case), "folder": str(base_folder(case.base, scratch)), "words": words(case.words)}
            for case in cases
        ],
        "odd_texts": [spelled(text) for text in ODD_TEXTS],
        "real_texts": texts,
    }
    (out / "spec.json").write_text(json.dumps(spec), encoding="utf-8")
    # no number depends on the requests that the program would send to the hub
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": ""}
    command = [environment(release.version), ROOT / "scripts" / "golden_worker.py", out / "spec.json", out]
    subprocess.run(command, check=True, env=offline, cwd=scratch)
    return {case.name: read(out / f"{case.name}.npz") for case in cases}


def read(path: Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        loaded = {name: arrays[name] for name in arrays.files}
    return {**loaded, "info": json.loads(loaded["info"].tobytes())}


def summary(case: Case, arrays: dict[str, Any]) -> dict[str, Any]:
    """Summarize a case's arrays for the golden file."""
    settings = {name: value for name, value in asdict(case).items() if name != "name"}
    info = arrays["info"]
    if "error" in info:
        return {**settings, "error": info["error"].split(".")[0]}  # the first sentence; the rest is advice
    tokens, table = info["tokens"], arrays["table"]
    n_real = len(arrays["real"]) if case.base == MINILM else N_REAL_TINY
    mapping = arrays.get("mapping")
    golden_values = {
        **settings,
        "n_tokens": len(tokens),
        "tokens_sha256": hashlib.sha256("\n".join(tokens).encode()).hexdigest(),
        "last_tokens": tokens[-20:] if case.words else [],
        "dtype": table.dtype.name,
        "shape": list(table.shape),
        "normalize": info["normalize"],
        "unknown_id": info["unknown_id"],
        "median_token_length": info["median_token_length"],
        **tokenizer_lengths(info["tokenizer"]),
        "rows": {tokens[token]: table[row_of(mapping, token)].tolist() for token in named(tokens)},
        "norms": np.linalg.norm(table[evenly(len(table))].astype(np.float64), axis=1).tolist(),
        "odd": [embedding(vector, number in FULL_TEXTS) for number, vector in enumerate(arrays["odd"])],
        "real_cosines": [round(float(cosine), 6) for cosine in neighbour_cosines(arrays["real"][:n_real])],
    }
    if mapping is not None:
        golden_values |= {"mapping": mapping.tolist(), "weights": arrays["weights"][evenly(len(tokens))].tolist()}
    return golden_values


def tokenizer_lengths(tokenizer: str) -> dict[str, Any]:
    """Return the truncation and the padding (length, token id) of the release's tokenizer."""
    data = json.loads(tokenizer)
    padding, truncation = data["padding"], data["truncation"]
    padded = padding and [padding["strategy"]["Fixed"], padding["pad_id"]]
    return {"padding": padded, "truncation": truncation and truncation["max_length"]}


def row_of(mapping: np.ndarray | None, token: int) -> int:
    return token if mapping is None else int(mapping[token])


def named(tokens: list[str]) -> list[int]:
    """Select tokens: favourites first, then evenly spaced ones."""
    known = [tokens.index(token) for token in FAVOURITES if token in tokens][: N_ROWS - 2]
    spread = [len(tokens) - 1, len(tokens) // 2, len(tokens) // 3, len(tokens) // 5]
    return list(dict.fromkeys([*known, *spread]))[:N_ROWS]


def evenly(n: int) -> np.ndarray:
    """Select about a hundred of `n` rows."""
    return np.unique(np.linspace(0, n - 1, N_NORMS).astype(int))


def embedding(vector: np.ndarray, full: bool) -> dict[str, Any]:
    values = vector if full else vector[:HEAD]
    return {"norm": float(np.linalg.norm(vector)), "values": values.tolist() if vector.any() else []}


def neighbour_cosines(vectors: np.ndarray) -> np.ndarray:
    """Return the cosine of every text with the next, independent of component signs; 0 for zero vectors."""
    vectors = vectors.astype(np.float64)
    norms = np.linalg.norm(vectors, axis=1)
    return (vectors[:-1] * vectors[1:]).sum(axis=1) / np.maximum(norms[:-1] * norms[1:], 1e-32)


def wordllama_golden() -> dict[str, Any]:
    program = """
import json, sys, wordllama
from pathlib import Path
model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
print(json.dumps(model.embed(json.load(sys.stdin)).tolist()))
"""
    sentences = json.loads((HERE / "wordllama.json").read_text(encoding="utf-8"))["sentences"]
    command = [environment(WORDLLAMA[0]), "-c", program]
    done = subprocess.run(command, input=json.dumps(sentences), capture_output=True, text=True, check=True)
    embeddings = json.loads(done.stdout.splitlines()[-1])
    return {"program": f"wordllama {WORDLLAMA[1]}", "sentences": sentences, "embeddings": embeddings}


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


def write(name: str, values: dict[str, Any]) -> None:
    # one line per case, for readable diffs
    lines = [f" {json.dumps(key)}: {dump(value)}" for key, value in values.items() if key != "cases"]
    if "cases" in values:
        inner = ",\n".join(f"  {json.dumps(key)}: {dump(value)}" for key, value in values["cases"].items())
        lines.append(f' "cases": {{\n{inner}\n }}')
    (HERE / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def dump(value: Any) -> str:
    return json.dumps(rounded(value), separators=(",", ":"), ensure_ascii=False)


def golden(release: Release, cases: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the golden values of a release."""
    return {
        "versions": next(iter(cases.values()))["info"]["versions"],
        "odd_texts": ODD_TEXTS,
        "added_words": ADDED_WORDS,
        "cases": {case.name: summary(case, cases[case.name]) for case in release.cases},
    }


def main(dialects: list[str], scratch: Path) -> None:
    texts = real_texts()
    for release in RELEASES:
        if dialects and release.dialect not in dialects:
            continue
        print(f"{release.dialect}: model2vec {release.version}", flush=True)
        make_environment(release)
        write(release.dialect, golden(release, run_worker(release, release.cases, texts, scratch)))
        if release.version == WORDLLAMA[0]:
            write("wordllama", wordllama_golden())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        main(sys.argv[1:], Path(folder))
