"""Data sets of the Hugging Face Hub: a revision is pinned to a commit, files are fetched politely and checked.

In: the name of a data set and a revision. Out: verified files in the Hub's cache, the licence and the citation of its
card. Promises: a file is the commit's, or it is not kept; what has arrived of a download that broke or was stopped is
not fetched again; a server that asks to wait is waited for; every failure is one line that names the remedy.
"""
