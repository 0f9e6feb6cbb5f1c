"""Reranking scores the order of given candidates; without them it would be retrieval from the whole corpus."""

from mteb.abstasks import AbsTask, AbsTaskRetrieval

from m2v_bench.errors import BenchError

RERANKING = ("Reranking", "InstructionReranking")


def has_candidates(task: AbsTask) -> bool:
    """Whether a task reranks candidates: mteb counted some in its data, or, uncounted, it is of such a type."""
    counted = task.metadata.descriptive_stats
    if counted is None:
        return task.metadata.type in RERANKING
    return any(split.get("top_ranked_statistics") for split in counted.values())


def check_candidates(task: AbsTask) -> None:
    """Refuse a loaded task whose candidates are not there, which mteb would score on its whole corpus.

    `datasets` leaves them out in silence when it reads its own cache without a network: all of them. Single queries
    without candidates are the data's, and left to mteb, which warns and ranks nothing for them.

    Raises:
        BenchError: naming the subset and split in which no query has candidates.
    """
    if not isinstance(task, AbsTaskRetrieval) or not has_candidates(task):
        return
    task.convert_v1_dataset_format_to_v2(num_proc=None)
    for subset, splits in task.dataset.items():
        for split, data in splits.items():
            if not any((data["top_ranked"] or {}).values()):
                raise BenchError(
                    f"{task.metadata.name} reranks given candidates, and those of ({subset}, {split}) were not loaded "
                    f"(`top_ranked` is empty for all {len(data['queries']):,} queries). It is not scored on the whole "
                    "corpus instead; load it from a complete repository (m2v-bench bundle, hub_dir=FOLDER)"
                )
