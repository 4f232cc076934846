"""What travels inside a registered model: text in, translations out [sentencepiece].

In: weights, tokenizer and search options in a folder, lines of text. Out: translations, in order. Promises: imports
only `model/` and `pipeline/errors.py`, so that a copy of this room runs without the repository.
"""
