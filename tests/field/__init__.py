"""Inputs as people have them, rebuilt in a few lines each: what was reported, and where."""
