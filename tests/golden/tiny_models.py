"""Build tiny models with byte-level BPE and Unigram tokenizers, to test every kind of tokenizer in seconds.

All are reproducible: the tokenizers are trained on generated English text, the weights drawn with a fixed seed.
"""

import json
import math
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCABULARY_SIZE = 400
HIDDEN = 32
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
MASK = "<mask>"

_NOUNS = """teacher engineer neighbour student river team cat village letter model embedding history word language
water mountain winter station market garden window computer memory question answer science machine number picture
paper story island bridge forest kitchen doctor painter train ticket city music"""
_VERBS = """reads builds watches remembers follows describes writes measures compares forgets carries paints answers
translates computes understands collects repairs borrows admires"""
_ADJECTIVES = "old young quiet small unknown static static new long famous careful green heavy wooden modern naïve"
_PLACES = "in New York,near the café,by the sea,at the station,under the mountains,during the winter,by e-mail,today"


def build_bpe(folder: Path) -> Path:
    """Write a RoBERTa-like model with a byte-level BPE tokenizer to `folder`."""
    from transformers import RobertaConfig, RobertaModel

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY_SIZE - 1,
        special_tokens=SPECIAL,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    data = json.loads(tokenizer.to_str())
    data["model"]["vocab"][MASK] = len(data["model"]["vocab"])
    return _save(folder, data, RobertaModel, RobertaConfig)


def build_qwen(folder: Path) -> Path:
    """Write a Qwen-like decoder to `folder`: a split before byte-level BPE, no unknown token, extra special tokens."""
    from transformers import Qwen2Config, Qwen2Model

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    words = Regex(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY_SIZE - 2, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(sentences(), trainer)
    tokenizer.add_special_tokens(["<|endoftext|>", "<|im_start|>"])
    end = ("<|endoftext|>", tokenizer.token_to_id("<|endoftext|>"))
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <|endoftext|>", special_tokens=[end])
    tokenizer.decoder = decoders.ByteLevel()
    model = Qwen2Model(
        Qwen2Config(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            intermediate_size=64,
            max_position_embeddings=130,
        )
    )
    settings = {"eos_token": end[0], "pad_token": end[0]}
    return _write(folder, model, json.loads(tokenizer.to_str()), settings)


def build_unigram(folder: Path) -> Path:
    """Write an XLM-R-like model with a Unigram tokenizer to `folder`."""
    from transformers import XLMRobertaConfig, XLMRobertaModel

    tokenizer = Tokenizer(models.Unigram([*((token, 0.0) for token in SPECIAL), *_pieces(), (MASK, 0.0)], unk_id=3))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(SPECIAL)
    data = json.loads(tokenizer.to_str())
    return _save(folder, data, XLMRobertaModel, XLMRobertaConfig)


def _pieces() -> list[tuple[str, float]]:
    # The pieces that cover most of the text, scored by frequency. The trainer of `tokenizers` is not reproducible, as
    # it iterates over a hash table.
    counts: Counter[str] = Counter()
    for word, count in Counter(f"▁{word}" for line in sentences() for word in line.split()).items():
        for start, stop in combinations(range(len(word) + 1), 2):
            counts[word[start:stop]] += count
    singles = [piece for piece in counts if len(piece) == 1]
    longer = sorted(
        (piece for piece in counts if len(piece) > 1), key=lambda piece: (-counts[piece] * len(piece), piece)
    )
    chosen = [*singles, *longer[: VOCABULARY_SIZE - len(singles) - len(SPECIAL) - 1]]
    total = sum(counts[piece] for piece in chosen)
    chosen.sort(key=lambda piece: (-counts[piece], piece))
    return [(piece, round(math.log(counts[piece] / total), 6)) for piece in chosen]


def sentences() -> list[str]:
    """Return generated English sentences, most of them distinct."""
    rng = np.random.default_rng(0)

    def one(words: str, separator: str | None = None) -> str:
        return str(rng.choice(words.split(separator)))

    lines = []
    for number in range(1500):
        article = "a" if number % 3 else "the"
        subject, thing = (f"{article} {one(_ADJECTIVES)} {one(_NOUNS)}", f"the {one(_NOUNS)}s")
        line = f"{subject} {one(_VERBS)} {thing} {one(_PLACES, ',')}"
        lines.append(line[0].upper() + line[1:] + ".!?,"[number % 4])
    return lines


def _save(folder: Path, data: dict[str, Any], model_class: Any, config_class: Any) -> Path:
    vocabulary = data["model"]["vocab"]
    special = {token["content"] for token in data["added_tokens"]}
    assert special == set(SPECIAL)
    data["added_tokens"].append({**data["added_tokens"][0], "id": len(vocabulary) - 1, "content": MASK, "lstrip": True})
    config = config_class(
        vocab_size=len(vocabulary),
        hidden_size=HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=130,
        type_vocab_size=1,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
    )
    special_tokens = {
        "bos_token": "<s>",
        "eos_token": "</s>",
        "cls_token": "<s>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "mask_token": MASK,
    }
    return _write(folder, model_class(config), data, special_tokens)


def _write(folder: Path, model: Any, data: dict[str, Any], special_tokens: dict[str, str]) -> Path:
    import torch

    rng = np.random.default_rng(1)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            values = rng.normal(scale=0.3, size=tuple(weight.shape))
            offset = 1.0 if "norm" in name.lower() and name.endswith(".weight") else 0.0
            weight.copy_(torch.from_numpy(values + offset))
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(data, ensure_ascii=False, indent=1), encoding="utf-8")
    settings = {
        # with the plain class every version of transformers uses tokenizer.json unchanged
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special_tokens,
        "model_max_length": 128,
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    return folder
