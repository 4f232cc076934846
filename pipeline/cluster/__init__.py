"""All that runs on Ray: training, bulk translation and serving [ray, starlette].

In: encoded corpora or pulled models. Out: trained models, translated chunks, a server that answers. Promises: what the
cluster cannot give is an error at once, and a run that lost its workers can be continued.
"""
