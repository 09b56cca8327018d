"""The search over ISR settings: the space, what a trial costs, and which to try next."""
