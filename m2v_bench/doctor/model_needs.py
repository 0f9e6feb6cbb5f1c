"""Find the models of a run without downloading anything."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from m2v_bench.assets.fetch import MODEL_FILES, catalog, is_offline, no_downloads
from m2v_bench.cache import folder_bytes
from m2v_bench.config.schema import Config
from m2v_bench.distillation.recipe import Recipe
from m2v_bench.models import Model, load_baselines, recipe_of


@dataclass(frozen=True)
class HubModel:
    """Model of a run that is neither an asset nor a folder."""

    setting: str
    name: str
    revision: str | None

    @property
    def cached_bytes(self) -> int:
        """The size of the weights in the hub's cache; 0 where it does not hold them."""
        from huggingface_hub import snapshot_download

        try:
            folder = snapshot_download(
                self.name, revision=self.revision, allow_patterns=["config.json"], local_files_only=True
            )
        except Exception:
            # the hub client raises many kinds of errors; all mean that it is not cached
            return 0
        return weight_bytes(Path(folder))

    def is_cached(self) -> bool:
        """Return whether the hub's cache holds the weights."""
        return self.cached_bytes > 0

    def ask(self) -> tuple[int | None, str | None]:
        """Return the size of the download in bytes, if known, and the reason if the model is unavailable."""
        no_revision = f" {self.setting}.revision=null" if self.revision else ""  # a folder has no revision
        fix = f"copy its folder to this machine and set {self.setting}.name=FOLDER{no_revision}"
        missing = f"{self.setting}.name={self.name}: no folder here, not in the hub's cache"
        if is_offline("HF_HUB_OFFLINE"):
            return None, f"{missing}, and downloads are disabled; {fix}"
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile

        try:
            HfApi().model_info(self.name, revision=self.revision, timeout=10)
            tree = list(HfApi().list_repo_tree(self.name, revision=self.revision, recursive=True))
        except Exception as error:
            # the hub client raises many kinds of errors; all mean the same to the user
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            return None, f"{missing}, and the hub does not provide it ({reason}); {fix}"
        files = [file for file in tree if isinstance(file, RepoFile) and file.path.endswith(MODEL_FILES)]
        return sum(file.size for file in files if not file.path.startswith(("onnx/", "openvino/"))) or None, None


def weight_bytes(folder: Path) -> int:
    """Return the size of a model's weights."""
    return folder_bytes(folder, suffixes=(".safetensors", ".bin"))


def hub_models(settings: Config) -> list[HubModel]:
    """Return the base model and baselines that come from the hub or its cache."""
    named = [("base_model", settings.base_model.name, settings.base_model.revision)]
    named += [
        (f"baselines.{key}", str(config.name), config.revision)
        for key, config in settings.baselines.items()
        if config.kind in ("sentence_transformer", "static")
    ]
    models = [HubModel(*names) for names in named]
    return [model for model in models if model.name not in catalog() and not Path(model.name).expanduser().is_dir()]


def models_of_run(settings: Config) -> list[Model]:
    """Return the models that a run would score, without distilling.

    Raises:
        BenchError: if settings are invalid, or a download would be needed.
    """
    with no_downloads():
        recipe = recipe_of(settings)
        return [student_of(recipe), *load_baselines(settings.baselines, recipe.base)]


def dims_of(models: Sequence[Model], settings: Config) -> int | None:
    """Return the largest number of dimensions among the models; None if unknown."""
    known = [model.dims for model in models if model.dims]
    known += [settings.pca_dims] if isinstance(settings.pca_dims, int) else []
    return max(known, default=None)


def student_of(recipe: Recipe) -> Model:
    """Return a placeholder for the distilled model, to look up scores; it cannot be loaded."""

    def never(device: str) -> Any:
        raise AssertionError("the doctor distils nothing")

    return Model(
        name=recipe.name,
        revision=recipe.revision,
        label=recipe.label,
        kind="static",
        dims=0,
        n_parameters=0,
        bytes_on_disk=0,
        load=never,
        variant=recipe.variant,
    )
