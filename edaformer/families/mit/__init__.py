"""MiT (SegFormer's, Xie et al., 2021) and PVTv2 (Wang et al., 2022): one encoder, of no family.

They are the same function; B0 to B4 differ in the widths of the first two stages' MLPs.
"""
