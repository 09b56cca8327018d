"""Data with ground truth: drawn street scenes, CamVid, and any folder."""

from edaformer.data.datasets import (
    DataRecord,
    Dataset,
    FileDataset,
    Sample,
    SceneDataset,
    check_data,
    open_dataset,
)

__all__ = [
    "DataRecord",
    "Dataset",
    "FileDataset",
    "Sample",
    "SceneDataset",
    "check_data",
    "open_dataset",
]
