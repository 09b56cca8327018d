"""What all of its models have in common, as 0.4 to 0.6 name it and compute it."""

from __future__ import annotations

import re

from edaformer.families.formats.mit import released
from edaformer.families.formats.naming import Module
from edaformer.families.formats.pvt import timm

PROJECT = "segmentation_models_pytorch"
MIT = released("encoder.")  # mit_b0 to mit_b5: its encoders/mix_transformer.py
PVT = timm("encoder.model.")  # tu-pvt_v2_b0 to tu-pvt_v2_b5, which are timm's
ENCODERS = (MIT, PVT)
DECODER = ("decoder.", "segmentation_head.")
CLASSIFY = Module("segmentation_head.0.", ("decoder.classify",))
UNUSED = re.compile(r"classification_head\..+")  # of aux_params: a label for the whole image
