"""Scores of translations on raw references, with intervals and significance tests [sacrebleu].

In: translations and references. Out: scores by metric, each with its signature. Promises: a metric is one entry of
`METRICS`, which validation, evaluation, comparison, tables and MLflow read; BLEU is the one that decides, and counts
words as the target's language has them.
"""
