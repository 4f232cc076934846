"""Noise in training pairs, drawn anew in every epoch.

In: encoded rows, and the shares that the configuration asks for. Out: the rows of a batch as the network sees them, and
the lengths that an epoch is planned with. Promises: what a pair becomes depends on the seed, the epoch and the pair
alone; nothing that is stored changes.
"""
