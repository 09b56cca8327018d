"""EDAFormer as the paper draws it: embedding-free attention, the EFT encoder, the decoder."""

from edaformer.model.edaformer import EDAFormer

__all__ = ["EDAFormer"]
