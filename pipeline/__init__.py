"""The stages from a parallel corpus to a registered model: plain functions on small values, without Prefect.

The rooms, from the ground up; each imports only rooms above it in this list:

    *.py          the configuration, errors: what every room may use
    store         artifacts by the fingerprint of what they are made from
    rows          rows of files: text, JSON lines, CSV, TSV, TMX, Parquet
    corpus        sentence pairs: load, pin, clean, split
    inference     what travels inside a registered model: text in, translations out
    batches       the tokenizer, token rows, the plan of batches
    noise         noise in training pairs, drawn anew in every epoch
    metrics       BLEU, chrF, TER: scores, intervals, significance
    training      the loop and what it needs
    evaluation    the scores of a model on pairs
    ablation      systems, their comparison, the report
    registry      MLflow: runs, versions, the champion, pulled models
    serving       requests and large files through a registered model
    cluster       Ray: training, translation and serving on many processes
    upkeep        what runs and what stopped; what a registered model was made from
"""
