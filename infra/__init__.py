"""What runs the pipeline's servers."""
