"""Runs, registered versions and the champion [mlflow].

In: trained models, evaluations and reports. Out: MLflow runs and versions; and versions, pulled back into the store.
Promises: a version is created last, so no half-registered one is ever seen; loading one unpickles nothing.
"""
