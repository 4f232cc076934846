"""The machine that a worker trains on: the products that it could do at most, their precision, and its threads."""
