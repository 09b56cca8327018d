"""Adapt a checkpoint to the ISR it will run at: self-distillation, without labels.

EDAFormer (section 4.4, the tables' rows with a star) is fine-tuned at its reduced ratios with the
labels it was trained on. Here the network teaches itself: what it says at base ISR is what it is to
say at another, on frames that nobody has labelled (Hinton et al., arXiv 1503.02531, with teacher
and student of the same weights).
"""
