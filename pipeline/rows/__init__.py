"""Rows of files, for training, evaluation and translation alike [pyarrow.parquet].

In: a file on this machine or in S3, plain or gzip: text, JSON lines, CSV, TSV or Parquet. Out: its lines, or its rows
as dicts with the place of each; and files of rows with their translations. Promises: a stream of any length in little
memory, lines that end at a line feed and nowhere else, and an InputError that names the file and the line or row of
whatever cannot be read.
"""
