"""Inputs rebuilt from public bug reports, a few lines each; one module a subject."""
