"""Segmentation_models_pytorch: encoder, decoder and segmentation head; a state dict or a folder."""
