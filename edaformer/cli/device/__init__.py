"""``edaformer-device``: our commands on a machine at the other end of a cable."""
