"""Numba kernels: arrays in, arrays out. No Python objects, no settings, no strings, no time of day."""
