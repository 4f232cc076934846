"""The workers' account on an MLflow server with passwords: `python -m pipeline.registry.accounts`, by an administrator.

The servers of infra/ run this whenever they start: so a run never holds the administrator's password.
"""

import os
import warnings
from collections.abc import Callable

from mlflow.exceptions import RestException
from mlflow.tracking import MlflowClient

WORKER = "worker"
"""The account's name."""


def provide_account(uri: str, password: str) -> None:
    """Create the workers' account or change its password, and let it continue what others have made.

    Users may read everything, create experiments and models, and change their own. The administrator is whom
    MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD name. Raises what MLflow raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Of MLflow's server, which this imports.
        from mlflow.server.auth.client import AuthServiceClient

    accounts, client = AuthServiceClient(uri), MlflowClient(uri)
    if not _new(accounts.create_user, WORKER, password):
        accounts.update_user_password(WORKER, password)
    for experiment in client.search_experiments():
        _new(accounts.grant_user_permission, WORKER, "experiment", experiment.experiment_id, "MANAGE")
    for model in client.search_registered_models():
        _new(accounts.grant_user_permission, WORKER, "registered_model", model.name, "MANAGE")


def _new(create: Callable[..., object], *given: str) -> bool:
    """Return whether something was created that was not there."""
    try:
        create(*given)
    except RestException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        return False
    return True


if __name__ == "__main__":
    provide_account(os.environ["MLFLOW_TRACKING_URI"], os.environ["NMT_MLFLOW_WORKER_PASSWORD"])
