"""Where artifacts and their stages are kept, here and in shared storage [pyarrow.fs].

In: a stage (what an output depends on) and a function that builds it. Out: the folder of the finished output and its
manifest. Promises: an output is made once for the same inputs, whole or not at all, and checked before it is reused.
"""
