"""Write golden values with the program that defined them, in an environment of its own.

    python -m venv golden && golden/bin/pip install 'model2vec[distill,quantization]==0.10.0' wordllama==0.4.0.post1
    golden/bin/python tests/golden/make_golden.py FOLDER_OF_all-MiniLM-L6-v2

`m2v-bench fetch all-MiniLM-L6-v2` prints the folder.
"""

import hashlib
import json
import sys
from pathlib import Path

SENTENCES = [
    "Static embeddings are the mean of their token rows.",
    "The Nile (Arabic: an-Nīl) flows north through 11 countries.",
    "unbelievably 🙂 naïve 日本語 co-operation [UNK] ##ing",
    "a\x00b\tc\n",
    "",
]
TOKENS = ["[PAD]", "[UNK]", "the", "##ing", "quantum", "~", "##～"]


def model2vec_golden(folder: str) -> dict[str, object]:
    import model2vec
    from model2vec.distill import distill

    model = distill(folder, pca_dims=256, quantize_to="float32")
    rows = dict(zip(model.tokens, model.embedding.tolist(), strict=True))
    return {
        "program": f"model2vec {model2vec.__version__}",
        "n_tokens": len(model.tokens),
        "tokens_sha256": hashlib.sha256("\n".join(model.tokens).encode()).hexdigest(),
        "rows": {token: rows[token] for token in TOKENS},
        "sentences": SENTENCES,
        "embeddings": model.encode(SENTENCES).tolist(),
        "long": model.encode(["word " * 20_000]).tolist()[0],
    }


def wordllama_golden() -> dict[str, object]:
    import wordllama

    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    return {"program": "wordllama 0.4.0.post1", "sentences": SENTENCES, "embeddings": model.embed(SENTENCES).tolist()}


def rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value


if __name__ == "__main__":
    here = Path(__file__).parent
    for name, golden in (("m2v-0.7", model2vec_golden(sys.argv[1])), ("wordllama", wordllama_golden())):
        (here / f"{name}.json").write_text(json.dumps(rounded(golden)) + "\n", encoding="utf-8")
