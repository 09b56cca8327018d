"""Inputs rebuilt from what people reported in public, each a few lines, a module a subject."""
