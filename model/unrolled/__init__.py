"""Decoders whose steps wait for the step before, in training: all steps as one function, with its backward by hand."""
