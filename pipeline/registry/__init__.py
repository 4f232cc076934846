"""Runs, registered versions and the champion [mlflow].

In: trained models, evaluations and reports. Out: MLflow runs and versions; and versions, pulled back into the store.
Promises: a version is created last, nothing is registered by halves, and nothing that is loaded is unpickled.
"""
