"""Registered models at work, without a server or cluster: requests, batches of them, large files in chunks.

In: requests or files of texts, and a pulled model. Out: replies, and chunks of answers. Promises: answers come in
order, and what was translated is not translated again.
"""
