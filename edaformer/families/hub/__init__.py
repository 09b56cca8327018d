"""Checkpoints by their id on the Hugging Face Hub, fetched by huggingface_hub into its own cache.

Nothing is fetched but for a text that names no path and is an id (``families.identity``).
"""
