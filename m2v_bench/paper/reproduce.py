"""Reproduce the experiments of the paper with the models and data available here.

Everything runs through `python -m m2v_bench` and `m2v-bench` commands; this module only chooses the overrides and
reports the substitutes for anything unavailable.
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
    """An experiment of the paper.

    Attributes:
        experiment: name of the file in conf/experiment.
        models: models that it loads from the hub.
        fallback: model overrides if one of them is unavailable.
        hub: model overrides if all of them are available.
        suite: suite overrides.
        without_data: suite overrides if there is neither a hub nor a data folder.
        counts: whether some jobs need a corpus.
        effects: whether to run `m2v-bench paper ablations` afterwards.
    """

    experiment: str
    models: tuple[str, ...]
    fallback: tuple[str, ...]
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
        ("base_model=all-MiniLM-L6-v2,paraphrase-MiniLM-L3-v2,bge-small-en-v1.5-int8",),
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
_WITHOUT_CORPUS = "weighting=none,zipf_log,sif"  # the weightings that need no corpus


@dataclass(frozen=True)
class Plan:
    """The commands that run an item here.

    Attributes:
        commands: `python -m` arguments, in the order to run them.
        notes: what is unavailable, and its substitutes.
    """

    commands: list[list[str]]
    notes: list[str]


def reproduce(item: str, overrides: Sequence[str] = ()) -> None:
    """Run an experiment of the paper.

    Args:
        item: one of `ITEMS`.
        overrides: overrides of the runs' settings. `hub_dir`, `data_dir` and `corpus` decide what can run (without a
            corpus, the weightings that count tokens are skipped); `dry_run=true` only shows what would be computed.

    Raises:
        BenchError: if none of its datasets is available.
        SystemExit: with the exit code of the first command that fails.
    """
    from m2v_bench.config.compose import take, translate

    overrides = translate(overrides)
    given: dict[str, str | None] = {}
    for name in ("hub_dir", "data_dir", "corpus", "dry_run"):
        given[name], overrides = take(overrides, name)
    dry_run = str(given.pop("dry_run")).lower() == "true"
    plan = plan_of(item, overrides=overrides, **given)
    print("\n".join(plan.notes), flush=True)
    for number, command in enumerate(plan.commands):
        quoted = [f"'{argument}'" if re.search(r"[\[{(&;* ]", argument) else argument for argument in command]
        print(f"$ python -m {' '.join(quoted)}", flush=True)
        if dry_run and number:
            continue  # later commands read the output of the first
        arguments = [*command, *(["dry_run=true"] if dry_run else [])]
        if code := subprocess.run([sys.executable, "-m", *arguments], check=False).returncode:
            raise SystemExit(code)


def plan_of(
    item: str,
    *,
    hub_dir: str | None = None,
    data_dir: str | None = None,
    corpus: str | None = None,
    overrides: Sequence[str] = (),
) -> Plan:
    """Return the commands of an item and notes about them; see `reproduce`."""
    from m2v_bench.config.compose import take

    entry = ITEMS[item]
    models, notes = _models(entry)
    data, data_notes = _data(entry, hub_dir, data_dir, overrides)
    defaults = [f"+experiment={entry.experiment}", *models, *data]
    if entry.counts and corpus is not None:
        defaults.append(f"corpus={corpus}")
    elif entry.counts:
        defaults.append(_WITHOUT_CORPUS)
        notes.append("no corpus=FILE: sif_counts and idf, which count tokens in one, are left out")
    results_dir = take(overrides, "results_dir")[0] or "results"
    name = take(overrides, "sweep.name")[0] or entry.experiment
    commands = [["m2v_bench", *_override(defaults, overrides)]]
    if entry.effects:
        tables = str(Path(results_dir, "tables"))
        commands.append(["m2v_bench.cli", "paper", "ablations", name, "--results", results_dir, "--out", tables])
    return Plan(commands, [*notes, *data_notes])


def _models(item: Item) -> tuple[list[str], list[str]]:
    """Return the overrides that choose the models, and notes on unavailable ones."""
    missing = {name: reason for name in item.models if (reason := _unavailable(name))}
    if not missing:
        return list(item.hub), []
    reason = next(iter(missing.values()))
    substitute = (
        f"using instead: {' '.join(item.fallback)}" if item.fallback else "using the experiment's models instead"
    )
    return list(item.fallback), [
        f"neither here nor available from the model hub ({reason}): {', '.join(missing)}; {substitute}"
    ]


def _data(
    item: Item, hub_dir: str | None, data_dir: str | None, overrides: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the overrides that choose the suite and its data, and notes on missing datasets."""
    from m2v_bench.config.check import typed
    from m2v_bench.config.compose import compose
    from m2v_bench.runs.prepare import suite_of

    unreachable = _unavailable(None)
    suite, notes = list(item.suite), []
    if unreachable and hub_dir is None and data_dir is None:
        suite = list(item.without_data)
        notes.append(
            f"no datasets: the hub cannot be reached ({unreachable}), and neither hub_dir nor data_dir is set; "
            f"using instead: {' '.join(suite)}"
        )
    elif unreachable and hub_dir is None:
        hub_dir = data_dir  # holds no dataset repositories, so all of them count as missing
        notes.append(f"hub_dir is not set, and the hub cannot be reached ({unreachable}): datasets of MTEB are missing")
    folders = {"hub_dir": hub_dir, "data_dir": data_dir}
    suite += [f"{name}={folder}" for name, folder in folders.items() if folder is not None]
    relevant = [override for override in overrides if re.split(r"[.=]", override)[0] in ("suite", *folders)]
    tasks = suite_of(typed(compose(_override(suite, relevant))))
    missing = [task for task in tasks if task.missing]
    if len(missing) == len(tasks):
        raise BenchError("\n".join([*notes, "none of its datasets is here; set hub_dir=FOLDER and data_dir=FOLDER"]))
    if missing:
        types, all_types = (Counter(task.type for task in group) for group in (missing, tasks))
        counted = ", ".join(f"{name} {n}/{all_types[name]}" for name, n in types.items())
        notes.append(f"{len(tasks) - len(missing)} of {len(tasks)} datasets are here; missing: {counted}")
    return suite, notes


def _override(defaults: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Return the defaults without those whose setting is overridden, followed by the overrides."""
    names = {override.partition("=")[0] for override in overrides}
    return [*(default for default in defaults if default.partition("=")[0] not in names), *overrides]


@functools.cache
def _unavailable(model: str | None) -> str | None:
    """Return why a model can be loaded neither from this machine nor from the hub, or None if it can.

    For `model=None`, return why the hub cannot be reached.
    """
    from huggingface_hub import HfApi, try_to_load_from_cache

    from m2v_bench.assets.fetch import is_offline

    if model is not None and isinstance(try_to_load_from_cache(model, "config.json"), str):
        return None
    if model is not None and (reason := _unavailable(None)):
        return reason
    if is_offline("HF_HUB_OFFLINE"):
        return "downloads are switched off"
    try:
        HfApi().model_info(model or _TEACHER, timeout=10)
    except Exception as error:  # the client's many network errors all mean the same to the user
        return type(error).__name__
    return None
