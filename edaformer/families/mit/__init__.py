"""MiT, the encoder of SegFormer and of others (Xie et al., 2021), of no family."""
