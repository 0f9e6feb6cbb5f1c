"""The Model2Vec method: vocabulary -> forward pass -> PCA -> weighting -> quantization -> StaticModel.

Independent of mteb. Source: the Model2Vec announcement and releases (MinishLab, 2024-2026).
"""
