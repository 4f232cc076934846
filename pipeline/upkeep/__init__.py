"""`$NMT_HOME` seen whole: what runs, what has stopped, what is stored, and what a registered model was made from.

In: a home, and the registry. Out: small immutable values, for people and programs to read. Nothing here makes or
trains anything; what it removes is what nobody needs, and it says so first.
"""
