"""Systems that differ by one idea each, and their comparison [matplotlib].

In: a preset. Out: the systems to train; from their outcomes, tables with significance tests, and pictures. Promises:
all systems share data, tokenizer, budget and seeds.
"""
