"""Check that reranking tasks have candidates; without them mteb would score retrieval from the whole corpus."""

from mteb.abstasks import AbsTask, AbsTaskRetrieval

from m2v_bench.errors import BenchError

RERANKING = ("Reranking", "InstructionReranking")


def has_candidates(task: AbsTask) -> bool:
    """Return whether a task reranks candidates, by mteb's statistics of its data, else by its type."""
    statistics = task.metadata.descriptive_stats
    if statistics is None:
        return task.metadata.type in RERANKING
    return any(split.get("top_ranked_statistics") for split in statistics.values())


def check_candidates(task: AbsTask) -> None:
    """Refuse a loaded reranking task without candidates, which mteb would score on its whole corpus.

    `datasets` silently drops all candidates when it reads its cache offline. Single queries without candidates are part
    of the data and left to mteb, which warns and ranks nothing for them.

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
                    f"(`top_ranked` is empty for all {len(data['queries']):,} queries). Load the task from a complete "
                    "repository (m2v-bench bundle, hub_dir=FOLDER)"
                )
