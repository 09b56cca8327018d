"""Data with ground truth: drawn street scenes, CamVid, and any folder."""

from edaformer.data.datasets import Dataset, FileDataset, Sample, SceneDataset, open_dataset

__all__ = ["Dataset", "FileDataset", "Sample", "SceneDataset", "open_dataset"]
