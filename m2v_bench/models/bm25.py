"""BM25 (Robertson and Zaragoza, 2009) as mteb runs it: rank documents by the words they share with a query."""

import io
from contextlib import redirect_stderr
from typing import Any

from m2v_bench.config.schema import BaselineConfig
from m2v_bench.models.model import Model
from m2v_bench.system.packages import as_baseline, require

TASK_TYPES = frozenset({"Retrieval", "Reranking", "InstructionRetrieval", "InstructionReranking"})


def bm25(key: str, config: BaselineConfig) -> Model:
    """Return mteb's BM25: Lucene's variant, k1 = 1.5, b = 0.75, English stop words and Snowball's stemmer."""
    for module in ("bm25s", "Stemmer"):
        require(module, extra="bm25", **as_baseline(key, "bm25"))
    import mteb

    meta = mteb.get_model_meta("mteb/baseline-bm25s")
    return Model(
        name=str(meta.name),
        revision=f"{meta.revision}-all-candidates",  # mteb's implementation leaves candidates out
        label=config.label or key,
        kind="lexical",
        dims=0,
        n_parameters=0,
        bytes_on_disk=0,
        load=lambda device: _searcher(),
        task_types=TASK_TYPES,
        refusal="BM25 ranks documents and does nothing else",
    )


def _searcher() -> Any:
    from mteb._create_dataloaders import _combine_queries_with_instruction_text
    from mteb.models.model_implementations.bm25 import BM25Search

    class Searcher(BM25Search):
        _tokenizer: Any
        retriever: Any

        def index(self, corpus: Any, **kwargs: Any) -> None:
            with redirect_stderr(io.StringIO()):  # progress bars that no setting disables
                super().index(corpus, **kwargs)

        def search(self, queries: Any, *, top_ranked: Any = None, **kwargs: Any) -> Any:
            with redirect_stderr(io.StringIO()):
                if not top_ranked:
                    return super().search(queries, top_ranked=top_ranked, **kwargs)
                return self._rerank(queries, top_ranked)

        def _rerank(self, queries: Any, candidates: Any) -> dict[str, dict[str, float]]:
            """Score every candidate; mteb's implementation keeps only those among the best of the whole corpus."""
            rows = {name: row for row, name in self.corpus_idx_to_id.items()}
            tokens = self._tokenizer.transform(list(_combine_queries_with_instruction_text(queries)["text"]))
            words = {number: word for word, number in tokens.vocab.items()}
            ranked: dict[str, dict[str, float]] = {}
            for query, ids in zip(queries["id"], tokens.ids, strict=True):
                known = self.retriever.get_tokens_ids([words[number] for number in ids])
                scores = self.retriever.get_scores_from_ids(known)
                ranked[query] = {name: float(scores[rows[name]]) for name in candidates.get(query, [])}
            return ranked

    return Searcher()
