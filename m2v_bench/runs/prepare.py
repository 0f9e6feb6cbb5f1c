"""Find and check a run's tasks, recipe and baselines before anything is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from m2v_bench.assets.fetch import catalog, fetch
from m2v_bench.cache import content_hash
from m2v_bench.config.schema import Config
from m2v_bench.distillation.recipe import Recipe
from m2v_bench.distillation.words import GLOVE_ASSET
from m2v_bench.models import Model, baseline_assets, load_baselines, recipe_of
from m2v_bench.system.environment import versions
from m2v_bench.tasks import SuiteTask, load_suite


@dataclass(frozen=True)
class Prepared:
    """The parts of a run.

    Attributes:
        settings: the checked settings.
        suite: the tasks.
        recipe: of the model to distil.
        baselines: the models to compare with.
    """

    settings: Config
    suite: list[SuiteTask]
    recipe: Recipe
    baselines: list[Model]

    @cached_property
    def key(self) -> str:
        """Hash of everything that determines the results; a finished run with the same key can be skipped.

        Excludes settings that affect only speed or logging.
        """
        packages = versions()
        return content_hash(
            {
                "recipe": [self.recipe.name, self.recipe.revision, self.recipe.label],
                "baselines": [[model.label, model.name, model.revision, model.variant] for model in self.baselines],
                "suite": [self.settings.suite.name, self.settings.suite.aggregation],
                "tasks": [[entry.name, entry.dataset, entry.missing] for entry in self.suite],
                "seed": self.settings.seed,
                "samples": self.settings.samples,
                "versions": [packages["m2v_bench"], packages["mteb"]],
            }
        )


def prepare(settings: Config, *, loaded: dict[str, list[Model]] | None = None) -> Prepared:
    """Find everything that a run with these settings needs, and fetch missing assets.

    Args:
        settings: checked settings.
        loaded: cache of baselines, shared between jobs; extended in place.

    Raises:
        BenchError: naming the setting that cannot be satisfied.
    """
    suite = suite_of(settings)
    fetch([*model_assets(settings), *suite_assets(suite)])
    recipe = recipe_of(settings)
    loaded = {} if loaded is None else loaded
    key = repr([settings.baselines, recipe.base.name, recipe.base.revision])
    if key not in loaded:
        loaded[key] = load_baselines(settings.baselines, recipe.base)
    return Prepared(settings, suite, recipe, loaded[key])


def suite_of(settings: Config) -> list[SuiteTask]:
    """Return the tasks that the settings select."""
    suite = settings.suite
    return load_suite(
        benchmark=suite.benchmark,
        tasks=suite.tasks,
        languages=suite.languages,
        splits=suite.splits,
        types=suite.types,
        exclude=suite.exclude,
        hub_dir=settings.hub_dir,
        data_dir=settings.data_dir,
        seed=settings.seed,
    )


def suite_assets(suite: Sequence[SuiteTask]) -> list[str]:
    """Return the assets that hold the tasks' data."""
    return list(dict.fromkeys(entry.asset for entry in suite if entry.asset))


def model_assets(settings: Config) -> list[str]:
    """Return the assets that the distilled model and the baselines need."""
    wanted = [settings.base_model.name] if settings.base_model.name in catalog() else []
    wanted += [GLOVE_ASSET] if str(settings.vocabulary).startswith("glove") else []
    return list(dict.fromkeys([*wanted, *baseline_assets(settings.baselines)]))
