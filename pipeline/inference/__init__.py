"""The code inside every registered model: text in, translations out [sentencepiece].

In: a folder with weights, tokenizer and search options; lines of text. Out: translations, in order. Promises: imports
only `model/` and `pipeline/errors.py`, so that a copy of this room runs without the repository.
"""
