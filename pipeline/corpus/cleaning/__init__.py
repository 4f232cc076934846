"""Rules that repair or drop the pairs of a corpus, and what each of them did [ftfy, py3langid, rensa, matplotlib].

In: the raw training pairs of a source, and which rules hold. Out: the pairs that are left, every pair that was dropped
with the rule that dropped it, and a report. Promises: what a rule decides depends on the pairs alone, not on their
number of processes; memory does not grow with the corpus beyond a few numbers per pair.
"""
