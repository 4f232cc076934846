"""Stages and their outputs, in `$NMT_HOME` and in storage that machines share [pyarrow.fs].

In: a stage (what its output depends on) and a function that builds it. Out: the folder of the output and its
manifest. Promises: an output is made once for the same inputs, completely or not at all, and checked before reuse.
"""
