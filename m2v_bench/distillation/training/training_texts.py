"""Draw the texts to train on from corpora, and tokenize them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from m2v_bench.cache import content_hash
from m2v_bench.distillation.corpus import Corpus
from m2v_bench.distillation.training.training_config import TrainingConfig
from m2v_bench.errors import BenchError
from m2v_bench.inference.static_model import DEFAULT_MAX_LENGTH
from m2v_bench.inference.tokenizer import BatchTokenizer, Rules

_MAX_HELD_OUT = 4_096


@dataclass(frozen=True)
class Bags:
    """Token ids of texts.

    Attributes:
        ids: ids of all texts, integers.
        offsets: where in `ids` each text begins, followed by the end of the last, int64 of shape (texts + 1,).
    """

    ids: np.ndarray
    offsets: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, texts: np.ndarray) -> "Bags":
        """Return the texts at these positions."""
        starts, ends = self.offsets[texts], self.offsets[texts + 1]
        lengths = ends - starts
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        places = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Bags(self.ids[places], offsets)


@dataclass(frozen=True)
class Sample:
    """The texts to train on.

    Attributes:
        texts: distinct texts in the order of their hashes, which is random but the same everywhere.
        n_read: non-empty texts in the corpora, duplicates included.
        n_duplicates: texts that occurred before.
    """

    texts: list[str]
    n_read: int
    n_duplicates: int

    def __str__(self) -> str:
        duplicates = f", without {self.n_duplicates:,} duplicates" if self.n_duplicates else ""
        return f"{len(self.texts):,} of {self.n_read:,} texts{duplicates}"


def read_sample(corpora: Sequence[Corpus], n_texts: int | None, *, show_progress: bool) -> Sample:
    """Draw texts from corpora: those with the smallest hashes, so that a larger sample extends a smaller one.

    Args:
        corpora: where the texts come from.
        n_texts: number of texts; None takes all.
        show_progress: show a progress bar.

    Raises:
        BenchError: when a corpus cannot be read, or there is no text.
    """
    kept: dict[bytes, str] = {}
    seen: set[bytes] = set()
    n_read = 0
    for corpus in corpora:
        for batch in corpus.batches("reading texts" if show_progress else None):
            stripped = [text for text in batch if text.strip()]
            n_read += len(stripped)
            for text in stripped:
                digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).digest()
                seen.add(digest)
                kept[digest] = text
            if n_texts is not None and len(kept) > 4 * n_texts:  # so that memory holds a few samples at most
                kept = {digest: kept[digest] for digest in sorted(kept)[:n_texts]}
    if not kept:
        raise BenchError(f"training.corpus={', '.join(corpus.name for corpus in corpora)}: there is no text in it")
    texts = [kept[digest] for digest in sorted(kept)[:n_texts]]
    return Sample(texts, n_read, n_read - len(seen))


@dataclass(frozen=True)
class TrainingTexts:
    """Texts to train on.

    Attributes:
        texts: all texts, so that the teacher embeds the same ones for every vocabulary.
        known: positions of those with at least one known token.
        bags: token ids of these.
    """

    texts: Sequence[str]
    known: np.ndarray
    bags: Bags

    @classmethod
    def read(
        cls,
        tokenizer: Tokenizer,
        corpora: Sequence[Corpus],
        config: TrainingConfig,
        *,
        max_length: int | None = DEFAULT_MAX_LENGTH,
        rules: Rules = "model2vec",
        show_progress: bool,
    ) -> "TrainingTexts":
        """Draw and tokenize texts.

        Args:
            tokenizer: the static model's tokenizer.
            corpora: where the texts come from.
            config: the settings.
            max_length: longest text in tokens, as in `StaticModel`.
            rules: as in `StaticModel`.
            show_progress: show progress bars.

        Raises:
            BenchError: when the corpus cannot be read, no text has a known token, or there are too few for a batch.
        """
        sample = read_sample(corpora, config.n_texts, show_progress=show_progress)
        bags = tokenize(tokenizer, sample.texts, max_length, rules)
        known = np.flatnonzero(np.diff(bags.offsets))
        if not len(known):
            raise BenchError(
                f"training.corpus={', '.join(config.corpora)}: none of its {len(sample.texts):,} texts has a token "
                "that the vocabulary knows"
            )
        split(len(known), config)  # before the teacher embeds anything
        if show_progress:
            dropped = len(sample.texts) - len(known)
            print(f"training on {sample}" + (f", {dropped:,} of them without known tokens" if dropped else ""))
        return cls(sample.texts, known, bags.take(known))

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Return the mean of each text's rows, float32 of shape (texts, dims)."""
        import torch

        starts = torch.from_numpy(self.bags.offsets[:-1].astype(self.bags.ids.dtype))
        ids, table = torch.from_numpy(self.bags.ids), torch.from_numpy(rows)
        return torch.nn.functional.embedding_bag(ids, table, starts, mode="mean").numpy()

    def counts(self, n_tokens: int) -> np.ndarray:
        """Return how often each token occurs, int64 of shape (tokens,)."""
        return np.bincount(self.bags.ids, minlength=n_tokens)


def training_corpora(config: TrainingConfig) -> list[Corpus]:
    """Return the corpora that the settings name.

    Raises:
        BenchError: when one does not exist, or lacks the column.
    """
    prefixes = ("training.corpus=", "training.corpus_column=")
    return [Corpus(name, config.corpus_column, settings=prefixes) for name in config.corpora]


def training_key(config: TrainingConfig, corpora: Sequence[Corpus]) -> dict[str, Any]:
    """Return the settings that determine the numbers of a training, as plain values; empty without training."""
    if not config:
        return {}
    return {
        **config.unusual(),
        "training.corpus": "+".join(corpus.label for corpus in corpora),
        "training.corpus_revision": content_hash([corpus.revision for corpus in corpora]),
    }


def split(n_texts: int, config: TrainingConfig) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the held-out texts and of the others; texts are in random order.

    Raises:
        BenchError: when there are too few for a batch.
    """
    n_held_out = min(max(round(n_texts * config.held_out), 2), _MAX_HELD_OUT)
    if n_texts - n_held_out < config.batch_size:
        fits = n_texts - n_held_out
        smaller = f"set training.batch_size to at most {fits}, or " if fits > 1 else ""
        raise BenchError(
            f"training.batch_size={config.batch_size}: only {n_texts:,} usable texts, {n_held_out:,} of them held out; "
            f"{smaller}give more texts"
        )
    return np.arange(n_held_out), np.arange(n_held_out, n_texts)


def tokenize(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_length: int | None = DEFAULT_MAX_LENGTH,
    rules: Rules = "model2vec",
) -> Bags:
    """Tokenize texts as `StaticModel.encode` does."""
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    batches = BatchTokenizer(tokenizer, rules).batches(list(texts), max_length=max_length)
    ids, lengths = [], []
    for batch in batches:
        ids.append(batch.ids)
        lengths.append(batch.ends - batch.starts)
    return Bags(np.concatenate(ids), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]))
