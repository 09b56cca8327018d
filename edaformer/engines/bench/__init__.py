"""Benchmark: what a frame costs, in time, memory and energy, beside what else could run it."""
