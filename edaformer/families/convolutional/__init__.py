"""Decoders of convolutions over a MiT or a PVTv2: two files each."""
