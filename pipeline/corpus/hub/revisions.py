"""What a revision of a data set on the Hub means: a commit, which never changes."""

import re

from huggingface_hub import HfApi

from pipeline.corpus.hub.patience import patiently
from pipeline.errors import ExternalError

COMMIT = re.compile(r"[0-9a-f]{40}")
SECONDS_TO_ANSWER = 30.0


def is_commit(revision: str) -> bool:
    """Return whether the revision is a full commit, which never changes its meaning."""
    return COMMIT.fullmatch(revision) is not None


def resolve_commit(dataset: str, revision: str) -> str:
    """Return the 40-digit commit that a branch, tag or commit of the Hub means now."""
    found = patiently(dataset, lambda: HfApi().dataset_info(dataset, revision=revision, timeout=SECONDS_TO_ANSWER))
    commit = found.sha
    if commit is None or not is_commit(commit) or (is_commit(revision) and commit != revision):
        raise ExternalError(
            f"corpus.revision={revision}: the Hub answered with commit {commit} of {dataset}; "
            "try again, or set corpus.path=FOLDER to a local copy"
        )
    return commit
