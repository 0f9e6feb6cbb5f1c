"""From the settings of a run to the model that it distils."""

from m2v_bench.config.schema import Config
from m2v_bench.distillation.recipe import Recipe, make_recipe


def recipe_of(settings: Config) -> Recipe:
    """The model that `settings` asks for."""
    return make_recipe(
        settings.base_model.name,
        base_revision=settings.base_model.revision,
        dialect=settings.dialect.name,
        sequence=settings.dialect.sequence,
        vocabulary=settings.vocabulary.source,
        subwords=settings.vocabulary.subwords,
        vocabulary_size=settings.vocabulary.size,
        remove=settings.vocabulary.remove,
        embeddings=settings.embeddings,
        pooling=settings.pooling.name,
        precision=settings.precision,
        pca_dims=settings.pca.dims,
        solver=settings.pca.solver,
        weighting=settings.weighting.name,
        coefficient=settings.weighting.coefficient,
        corpus=settings.weighting.corpus,
        column=settings.weighting.column,
        dtype=settings.quantization.dtype,
        clusters=settings.quantization.vocabulary,
        seed=settings.seed,
    )
