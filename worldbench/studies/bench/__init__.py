"""Benchmarks: the time, memory and operations of a training step."""
