"""What stopped a training, in one line: a lost process or failing storage is an ExternalError, the rest is a bug."""

from collections.abc import Mapping

import torch
from ray.exceptions import RayError, RayTaskError

from pipeline.cluster.ray_train_internals import STARTUP_ERRORS
from pipeline.errors import ExternalError
from pipeline.store.storage import Folder

CONTINUE = "run the same command again to continue"


def explain_training(error: BaseException, storage: Folder) -> BaseException:
    """Return the ExternalError that `error`, raised by Ray Train, comes down to; `error` itself if it is a bug."""
    failures: Mapping[int, BaseException] = getattr(error, "worker_failures", {})
    workers = {rank: getattr(failure, "cause", None) or failure for rank, failure in sorted(failures.items())}
    controller = getattr(error, "controller_failure", None) or error
    for cause in (controller, *workers.values()):
        if isinstance(cause, OSError) and not isinstance(cause, RayError):
            return storage.explained(cause)
        if isinstance(cause, ExternalError):
            return cause
    if isinstance(controller, STARTUP_ERRORS):
        return ExternalError(
            "the Ray cluster did not start the workers: what they need is in use; run the same command again later"
        )
    if workers and all(_is_loss(cause) for cause in workers.values()):
        reasons = "; ".join(f"worker {rank}: {first_line(cause)}" for rank, cause in workers.items())
        return ExternalError(f"training stopped: workers were lost ({reasons}); {CONTINUE} from the last epoch")
    if _is_rays_own(controller):
        return lost_process(first_line(controller))
    return error


def lost_process(reason: str) -> ExternalError:
    """Return the error of a training that has lost one of Ray's processes."""
    return ExternalError(f"training stopped: Ray lost a process ({reason}); {CONTINUE} from the last epoch")


def _is_rays_own(error: BaseException) -> bool:
    """Whether Ray itself failed, and not the code that it ran: that arrives as the cause of a RayTaskError."""
    if isinstance(error, RayTaskError):
        return isinstance(error.cause, RayError) and _is_rays_own(error.cause)
    return isinstance(error, RayError)


def _is_loss(cause: BaseException) -> bool:
    """Whether a worker died, or failed because another one did."""
    rays_own = type(cause).__module__.partition(".")[0] == "ray"
    return rays_own or isinstance(cause, torch.distributed.DistError) or "gloo" in str(cause) or "NCCL" in str(cause)


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or the name of its class."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
