"""FeedFormer: a MiT encoder, and cross attention from its deeper maps onto the first one."""
