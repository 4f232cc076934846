"""Reads and writes files of rows, for training, evaluation and translation alike [pyarrow.parquet].

In: text, JSON lines, CSV, TSV, TMX or Parquet, on this machine or in S3, plain or compressed. Out: lines, or rows as
dicts with their locations; and files of rows with their translations. Promises: files of any size stream through little
memory, and an InputError names the file and the line or row of every mistake.
"""
