"""Reproduce the parts of the paper, as sweeps of conf/experiment on the models and data that can be had here.

Nothing is run in another way than `python -m m2v_bench` and the verbs of `m2v-bench` run it; this module chooses the
words, and says what it puts in the place of what is absent.
"""

import functools
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from m2v_bench.errors import BenchError


@dataclass(frozen=True)
class Item:
    """An item of the paper.

    Attributes:
        experiment: its file in conf/experiment.
        hub: words beside it, where the models of the hub can be had.
        models: those that it takes from the hub.
        here: the words in their place where one of them cannot.
        suite: what it is scored on.
        without_data: the same where there is neither a hub nor a folder of data.
        counts: whether some of its jobs need a corpus.
        effects: whether `m2v-bench paper ablations` follows.
    """

    experiment: str
    models: tuple[str, ...]
    here: tuple[str, ...]
    hub: tuple[str, ...] = ()
    suite: tuple[str, ...] = ("suite=paper",)
    without_data: tuple[str, ...] = ("suite=starter",)
    counts: bool = False
    effects: bool = False


_TEACHER, _GLOVE = "BAAI/bge-base-en-v1.5", "sentence-transformers/average_word_embeddings_glove.6B.300d"
_EMBEDDED = ("base_model=all-MiniLM-L6-v2", "baseline=[teacher,glove-6b-50d,wordllama-256]")
ITEMS = {
    "main": Item("paper_main", (_TEACHER, _GLOVE), _EMBEDDED),
    "ablations": Item(
        "paper_ablations",
        (_TEACHER, "google-bert/bert-base-uncased"),
        ("base_model=all-MiniLM-L6-v2,paraphrase-MiniLM-L3-v2",),
        counts=True,
        effects=True,
    ),
    "speed": Item(
        "speed_vs_score",
        (_TEACHER, _GLOVE, "minishlab/potion-base-8M"),
        (),
        hub=("base_model=bge-base-en-v1.5", "baseline=[teacher,all-MiniLM-L6-v2,glove-6b-300d,potion-base-8M]"),
    ),
    "classification": Item(
        "paper_classification",
        (_TEACHER, _GLOVE),
        _EMBEDDED,
        suite=("suite=classification",),
        without_data=("suite=starter", "suite.types=[Classification]"),
    ),
}
_COUNTING = "weighting=none,zipf_log,sif"  # what is left of the ablations without a corpus


@dataclass(frozen=True)
class Plan:
    """How an item is run here.

    Attributes:
        commands: one after the other, without the interpreter.
        notes: what is absent, and what stands in its place.
    """

    commands: list[list[str]]
    notes: list[str]


def reproduce(item: str, words: Sequence[str] = ()) -> None:
    """Run a part of the paper.

    Args:
        item: one of `ITEMS`.
        words: settings of the runs. `hub_dir`, `data_dir` and `corpus` (of the weightings that count, which are left
            out without one) decide what can be run; `dry_run=true` shows what would be computed.

    Raises:
        BenchError: when no part of it can be run here.
        SystemExit: with the exit code of the first command that fails.
    """
    from m2v_bench.config.compose import take, translate

    words = translate(words)
    given: dict[str, str | None] = {}
    for name in ("hub_dir", "data_dir", "corpus", "dry_run"):
        given[name], words = take(words, name)
    dry_run = str(given.pop("dry_run")).lower() == "true"
    plan = plan_of(item, words=words, **given)
    print("\n".join(plan.notes), flush=True)
    for number, command in enumerate(plan.commands):
        shown = [f"'{word}'" if re.search(r"[\[{(&;* ]", word) else word for word in command]
        print(f"$ python -m {' '.join(shown)}", flush=True)
        if dry_run and number:
            continue  # it reads what the first one writes
        own = [*command, *(["dry_run=true"] if dry_run else [])]
        if code := subprocess.run([sys.executable, "-m", *own], check=False).returncode:
            raise SystemExit(code)


def plan_of(
    item: str,
    *,
    hub_dir: str | None = None,
    data_dir: str | None = None,
    corpus: str | None = None,
    words: Sequence[str] = (),
) -> Plan:
    """The commands of an item, and what is to be said of them; see `reproduce`."""
    from m2v_bench.config.compose import take

    own = ITEMS[item]
    models, notes = _models(own)
    data, said = _data(own, hub_dir, data_dir, words)
    chosen = [f"+experiment={own.experiment}", *models, *data]
    if own.counts and corpus is not None:
        chosen.append(f"corpus={corpus}")
    elif own.counts:
        chosen.append(_COUNTING)
        notes.append("no corpus=FILE: sif_counts and idf, which count tokens in one, are left out")
    results_dir = take(words, "results_dir")[0] or "results"
    name = take(words, "sweep.name")[0] or own.experiment
    commands = [["m2v_bench", *_overridden(chosen, words)]]
    if own.effects:
        tables = str(Path(results_dir, "tables"))
        commands.append(["m2v_bench.cli", "paper", "ablations", name, "--results", results_dir, "--out", tables])
    return Plan(commands, [*notes, *said])


def _models(item: Item) -> tuple[list[str], list[str]]:
    absent = {name: why for name in item.models if (why := _not_had(name))}
    if not absent:
        return list(item.hub), []
    reason = next(iter(absent.values()))
    stands = f"in their place: {' '.join(item.here)}" if item.here else "the experiment's own models take their place"
    return list(item.here), [
        f"not here, and not to be had from the model hub ({reason}): {', '.join(absent)}; {stands}"
    ]


def _data(item: Item, hub_dir: str | None, data_dir: str | None, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words that say what to score on, and what of it is not here."""
    from m2v_bench.config.check import typed
    from m2v_bench.config.compose import compose
    from m2v_bench.runs.prepare import suite_of

    unreachable = _not_had(None)
    suite, notes = list(item.suite), []
    if unreachable and hub_dir is None and data_dir is None:
        suite = list(item.without_data)
        notes.append(
            f"no datasets: the hub cannot be reached ({unreachable}), and neither hub_dir nor data_dir is set; "
            f"in their place: {' '.join(suite)}"
        )
    elif unreachable and hub_dir is None:
        hub_dir = data_dir  # holds no dataset repositories, so that all of them are counted as missing
        notes.append(f"hub_dir is not set, and the hub cannot be reached ({unreachable}): datasets of MTEB are missing")
    given = {"hub_dir": hub_dir, "data_dir": data_dir}
    suite += [f"{name}={folder}" for name, folder in given.items() if folder is not None]
    own = [word for word in words if re.split(r"[.=]", word)[0] in ("suite", *given)]
    tasks = suite_of(typed(compose(_overridden(suite, own))))
    missing = [task for task in tasks if task.missing]
    if len(missing) == len(tasks):
        raise BenchError("\n".join([*notes, "none of its datasets is here; set hub_dir=FOLDER and data_dir=FOLDER"]))
    if missing:
        types, all_types = (Counter(task.type for task in each) for each in (missing, tasks))
        counted = ", ".join(f"{name} {n}/{all_types[name]}" for name, n in types.items())
        notes.append(f"{len(tasks) - len(missing)} of {len(tasks)} datasets are here; missing: {counted}")
    return suite, notes


def _overridden(words: Sequence[str], by: Sequence[str]) -> list[str]:
    """The words, those of `by` in the place of others for the same setting."""
    names = {word.partition("=")[0] for word in by}
    return [*(word for word in words if word.partition("=")[0] not in names), *by]


@functools.cache
def _not_had(model: str | None) -> str | None:
    """Why a model can neither be loaded from this machine nor from the hub, or None; of None, why the hub cannot."""
    from huggingface_hub import HfApi, try_to_load_from_cache

    from m2v_bench.assets.fetch import is_offline

    if model is not None and isinstance(try_to_load_from_cache(model, "config.json"), str):
        return None
    if model is not None and (reason := _not_had(None)):
        return reason
    if is_offline("HF_HUB_OFFLINE"):
        return "downloads are switched off"
    try:
        HfApi().model_info(model or _TEACHER, timeout=10)
    except Exception as error:  # the client raises many kinds of network errors; to the user they are one
        return type(error).__name__
    return None
