"""Sentence pairs from the Hub, local files or the embedded captions [datasets, huggingface_hub].

In: the `corpus` section of a configuration. Out: a `Corpus`, three JSON lines files in the store. Promises: the source
is pinned by commit or hash, sentences stay as they are but for white space, and which pairs are held out depends only
on the seed and the pairs.
"""
