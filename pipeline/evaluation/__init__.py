"""What a model's translations are worth.

In: a trained or registered model and sentence pairs. Out: translations and scores in the store, and tables of them.
Promises: metrics are computed on raw references; scores name the pairs and signatures that they hold for.
"""
