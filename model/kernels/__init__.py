"""Pointwise work of training and search as machine code, which numba compiles where it is installed.

Comes in: float32 arrays, the memory of tensors on a CPU. Comes out: what they are filled with. Promises what the torch
code beside each caller computes, to rounding; that code is the reference, and does the work where numba is missing.

`load.py` alone is imported by the rest of model/; it imports the others, which need numba.
"""
