"""Write golden values with the programs that defined them, each in an environment of its own.

    python -m scripts.golden [DIALECT ...]

`.golden/<version>` gets an environment per release of model2vec (made when it is not there), `<dialect>.json` beside
this file what its program gave: a summary, small enough to be kept. Takes about ten minutes, without the downloads.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
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
WORDLLAMA = ("0.10.0", "0.4.0.post1")  # the environment that also holds wordllama, and its version

N_ROWS, N_NORMS = 3, 100
N_REAL_TINY = 150  # keeps the file small; the live comparison looks at every text
FULL_TEXTS = (0,)
HEAD = 16
FAVOURITES = ("[UNK]", "<unk>", "the", "▁the", "Ġthe", "##ing", "ing", "quantum", "▁quantum", "▁new▁york", "new york")


def environment(version: str) -> Path:
    """The Python of a release's environment."""
    return ROOT / ".golden" / version / "bin" / "python"


def make_environment(release: Release) -> None:
    folder = ROOT / ".golden" / release.version
    if environment(release.version).exists():
        return
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    torch = re.findall(r"^torch==.*$", pins, flags=re.MULTILINE)
    requirements = [f"model2vec[{release.extras}]=={release.version}", *torch]
    if release.version == WORDLLAMA[0]:
        requirements.append(f"wordllama=={WORDLLAMA[1]}")
    try:
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [environment(release.version), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *requirements], check=True)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)  # half an environment would pass for a whole one
        raise


def run_worker(release: Release, cases: tuple[Case, ...], texts: list[str], scratch: Path) -> dict[str, dict[str, Any]]:
    """Every case's arrays by name, as the release's own program gives them; `info` is decoded."""
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
    # what the program would ask the hub for is nothing that a number depends on
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": ""}
    command = [environment(release.version), ROOT / "scripts" / "golden_worker.py", out / "spec.json", out]
    subprocess.run(command, check=True, env=offline, cwd=scratch)
    return {case.name: read(out / f"{case.name}.npz") for case in cases}


def read(path: Path) -> dict[str, Any]:
    with np.load(path) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    return {**found, "info": json.loads(found["info"].tobytes())}


def summary(case: Case, found: dict[str, Any]) -> dict[str, Any]:
    """What of a case's arrays is kept."""
    settings = {name: value for name, value in asdict(case).items() if name != "name"}
    info = found["info"]
    if "error" in info:
        return {**settings, "error": info["error"].split(".")[0]}  # its first sentence; what follows is advice
    tokens, table = info["tokens"], found["table"]
    n_real = len(found["real"]) if case.base == MINILM else N_REAL_TINY
    mapping = found.get("mapping")
    kept = {
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
        "odd": [embedding(vector, number in FULL_TEXTS) for number, vector in enumerate(found["odd"])],
        "real_cosines": [round(float(cosine), 6) for cosine in neighbour_cosines(found["real"][:n_real])],
    }
    if mapping is not None:
        kept |= {"mapping": mapping.tolist(), "weights": found["weights"][evenly(len(tokens))].tolist()}
    return kept


def tokenizer_lengths(tokenizer: str) -> dict[str, Any]:
    """To how many tokens the program's own tokenizer cuts, and to how many it fills up with which token."""
    data = json.loads(tokenizer)
    padding, truncation = data["padding"], data["truncation"]
    filled = padding and [padding["strategy"]["Fixed"], padding["pad_id"]]
    return {"padding": filled, "truncation": truncation and truncation["max_length"]}


def row_of(mapping: np.ndarray | None, token: int) -> int:
    return token if mapping is None else int(mapping[token])


def named(tokens: list[str]) -> list[int]:
    """Some tokens of every kind: well known ones first, then evenly spaced ones."""
    known = [tokens.index(token) for token in FAVOURITES if token in tokens][: N_ROWS - 2]
    spread = [len(tokens) - 1, len(tokens) // 2, len(tokens) // 3, len(tokens) // 5]
    return list(dict.fromkeys([*known, *spread]))[:N_ROWS]


def evenly(n: int) -> np.ndarray:
    """About a hundred of `n` rows."""
    return np.unique(np.linspace(0, n - 1, N_NORMS).astype(int))


def embedding(vector: np.ndarray, full: bool) -> dict[str, Any]:
    values = vector if full else vector[:HEAD]
    return {"norm": float(np.linalg.norm(vector)), "values": values.tolist() if vector.any() else []}


def neighbour_cosines(vectors: np.ndarray) -> np.ndarray:
    """The cosine of every text with the next; 0 where a vector is zero. No component's sign matters to it."""
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
    # one line per case, so that a difference can be read
    lines = [f" {json.dumps(key)}: {dump(value)}" for key, value in values.items() if key != "cases"]
    if "cases" in values:
        inner = ",\n".join(f"  {json.dumps(key)}: {dump(value)}" for key, value in values["cases"].items())
        lines.append(f' "cases": {{\n{inner}\n }}')
    (HERE / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def dump(value: Any) -> str:
    return json.dumps(rounded(value), separators=(",", ":"), ensure_ascii=False)


def golden(release: Release, found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What is kept of a release's cases."""
    return {
        "versions": next(iter(found.values()))["info"]["versions"],
        "odd_texts": ODD_TEXTS,
        "added_words": ADDED_WORDS,
        "cases": {case.name: summary(case, found[case.name]) for case in release.cases},
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
