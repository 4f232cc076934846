"""From text to token rows, and from rows to batches [pyarrow.ipc].

In: a corpus. Out: a tokenizer, encoded rows in memory-mapped files, and the plan of every epoch. Promises: global
batches depend on the seed, the epoch and the lengths alone, not on the number of workers.
"""
