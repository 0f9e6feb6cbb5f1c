"""Distil and embed with the release of model2vec installed in this environment.

    python golden_worker.py SPEC.json FOLDER

SPEC.json is {"cases": [...], "odd_texts": [...], "real_texts": [...]}, a case {"name", "folder", "words", "subwords",
"pca_dims", "options"}. Writes FOLDER/NAME.npz for every case, with `info` (JSON as bytes: versions, tokens, tokenizer,
or the exception), `table`, `odd`, `real`, and `weights` and `mapping` if any. Runs with every release, so it imports
nothing of this project and uses only features of all releases.
"""

import inspect
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from model2vec.distill import distill_from_model
from transformers import AutoModel, AutoTokenizer

SEED = 42
PACKAGES = ("model2vec", "transformers", "tokenizers", "torch", "numpy", "scikit-learn")


def distilled(case: dict[str, Any]) -> Any:
    model = AutoModel.from_pretrained(case["folder"])
    tokenizer = AutoTokenizer.from_pretrained(case["folder"])
    settings = {"vocabulary": case["words"], "pca_dims": case["pca_dims"], **case["options"]}
    if "quantize_to" in inspect.signature(distill_from_model).parameters:
        settings["quantize_to"] = "float32"
    if not case["subwords"]:
        settings["use_subword"] = False
    # up to 0.3.7, scikit-learn chooses the solver, and the randomized solver uses the global generator
    np.random.seed(SEED)
    return distill_from_model(model=model, tokenizer=tokenizer, device="cpu", **settings)


def arrays(case: dict[str, Any], odd_texts: list[str], real_texts: list[str]) -> dict[str, Any]:
    info: dict[str, Any] = {"versions": {name: version(name) for name in PACKAGES}}
    try:
        model = distilled(case)
    except BaseException as error:  # a panic of the tokenizer is not an Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return {"info": {**info, "error": f"{type(error).__name__}: {error}"}}
    info |= {
        "tokens": list(model.tokens),
        "normalize": bool(model.normalize),
        "unknown_id": model.unk_token_id,
        "median_token_length": model.median_token_length,
        "tokenizer": model.tokenizer.to_str(),
    }
    required = {
        "info": info,
        "table": model.embedding,
        "odd": model.encode(odd_texts),
        "real": model.encode(real_texts),
    }
    optional = {"weights": getattr(model, "weights", None), "mapping": getattr(model, "token_mapping", None)}
    return {**required, **{name: array for name, array in optional.items() if array is not None}}


if __name__ == "__main__":
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    for case in spec["cases"]:
        print(f"{case['name']} ...", file=sys.stderr, flush=True)
        output = arrays(case, spec["odd_texts"], spec["real_texts"])
        output["info"] = np.frombuffer(json.dumps(output["info"]).encode(), dtype=np.uint8)
        np.savez(Path(sys.argv[2]) / f"{case['name']}.npz", **output)
