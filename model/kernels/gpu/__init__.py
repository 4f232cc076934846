"""The kernels of a GPU, by Triton where it is installed: what numba's do on a CPU, one launch each.

Comes in: float32 tensors on one GPU. The functions have the names and the arguments of those in the folder above, and
compute the same to rounding. Each sentence has a program, or several with some units each, and no two programs add to
the same number: so the results are the same every time.
"""
