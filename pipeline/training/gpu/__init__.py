"""Steps as CUDA graphs: a step is recorded once for each of few shapes, and then launched as one.

In: a worker's shares and the functions of a step, which read and write tensors that stay where they are. Promises: a
step that is replayed computes what the same functions compute when they are called; padding changes nothing.
"""
