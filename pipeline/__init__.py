"""The stages from a parallel corpus to a registered model: plain functions on small immutable values."""
