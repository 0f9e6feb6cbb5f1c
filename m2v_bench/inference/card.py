"""Write the model card: settings, usage and citation of a static model."""

import json
from collections.abc import Mapping
from typing import Any

# Releases of model2vec by the dialect that computes as they do.
RELEASES = {
    "m2v-0.1": "0.1.0 - 0.3.7",
    "m2v-0.3.8": "0.3.8",
    "m2v-0.3.9": "0.3.9 - 0.4.1",
    "m2v-0.5": "0.5 - 0.6",
    "m2v-0.7": "0.7 - 0.10",
}

_CITATION = """@software{minishlab2024model2vec,
  author = {Stephan Tulkens and Thomas van Dongen},
  title  = {Model2Vec: Fast State-of-the-Art Static Embeddings},
  year   = {2024},
  doi    = {10.5281/zenodo.17270888}
}"""


def model_card(name: str, config: Mapping[str, Any], *, shape: tuple[int, int]) -> str:
    """Return a README.md with the metadata that model hubs and model2vec read.

    Args:
        name: the model's name.
        config: the content of `config.json`.
        shape: rows and dimensions of the table.
    """
    from m2v_bench.system.version import __version__

    base = config.get("base_model_name")
    on_hub = base and "/" in base and not base.startswith(("local/", "loaded/", "hub/", "m2v_bench/"))
    recipe: Mapping[str, Any] = config.get("recipe") or {}
    metadata = {
        "base_model": base if on_hub else None,
        "library_name": "model2vec",
        "model_name": name,
        "tags": ["embeddings", "static-embeddings", "sentence-transformers"],
    }
    # every JSON value is a YAML value
    front = "\n".join(f"{key}: {json.dumps(value)}" for key, value in metadata.items() if value)
    origin = f"distilled from {base} by m2v_bench {__version__}" if base else f"saved by m2v_bench {__version__}"
    releases = RELEASES.get(recipe.get("dialect", ""))
    cut = f", cut from {config['cut_from']}" if "cut_from" in config else ""
    rows = "\n".join(f"| {key} | {value} |" for key, value in recipe.items())
    settings = f"## Settings\n\n| Setting | Value |\n|---|---|\n{rows}\n\n" if rows else ""
    training = config.get("training") or {}
    held_out = training.get("held_out")
    trained = (
        f" Its rows were trained on {training['texts']:,} texts; the held-out loss went from {held_out[0]:.4g} to "
        f"{held_out[training['best']]:.4g}."
        if held_out
        else ""
    )
    remarks = trained + (f" Revision: {config['revision']}." if config.get("revision") else "")
    return f"""---
{front}
---

# {name}

A static embedding model, {origin}: {shape[0]:,} rows of {shape[1]} dimensions{cut} ({config["embedding_dtype"]}). The \
embedding of a text is the mean of its tokens' rows{", divided by its norm" if config["normalize"] else ""}.{remarks}

{settings}## Usage

```python
from m2v_bench import StaticModel  # or: from model2vec import StaticModel

embeddings = StaticModel.from_pretrained("{name}").encode(["a text", "another"])
```

{_sentence_transformers(config)}

## Citation

The method is Model2Vec{f", as its releases {releases} compute it" if releases else ""}:

```bibtex
{_CITATION}
```
{f"{chr(10)}Please cite the base model, {base}, as well.{chr(10)}" if base else ""}"""


def _sentence_transformers(config: Mapping[str, Any]) -> str:
    if config["embedding_dtype"] == "int8":
        return "sentence-transformers cannot load it, as it accepts floating-point tables only."
    return "sentence-transformers loads it too, but keeps unknown tokens in the mean and does not cut long texts."
