"""The training loop and what it needs; knows torch, but no tracker and no cluster.

In: encoded rows and a configuration. Out: weights, a checkpoint after every epoch, and figures through plain callables.
Promises: a resumed run equals an uninterrupted one; the number of workers changes the speed, not the mathematics.
"""
