"""The stages of a corpus on a cluster [ray].

In: chunks of pairs, and what is done with them. Out: what becomes of them, in order. Promises: the results are those of
one process; a node that is lost loses no chunk.
"""
