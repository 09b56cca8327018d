"""A look inside a checkpoint: a stage at two ISR settings, drawn."""
