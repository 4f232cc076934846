"""Starts the servers that the pipeline uses, here and elsewhere."""
