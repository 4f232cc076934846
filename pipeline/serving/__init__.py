"""Serves a registered model without a cluster: requests, their batches, large files in chunks [starlette, uvicorn].

In: requests or files of texts, and a pulled model. Out: replies, and chunks of answers. Promises: answers come in
order, and no chunk is translated twice.
"""
