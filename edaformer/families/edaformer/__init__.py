"""EDAFormer as the paper draws it: embedding-free attention, the EFT encoder, the decoder."""
