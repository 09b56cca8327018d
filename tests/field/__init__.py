"""Inputs as people have them, rebuilt from public reports: a few lines each, a module a subject."""
