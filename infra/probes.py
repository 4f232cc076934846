"""Whether the servers of this machine answer."""

import httpx

PROBE_SECONDS = 5


def answers(url: str, token: str | None = None) -> bool:
    """Return whether a server answers there, with success. Only the token given, if any, is sent along."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    try:
        return httpx.get(url, headers=headers, timeout=PROBE_SECONDS, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def got_no_answer(error: Exception, url: str) -> bool:
    """Return whether an error is that of a request to this server which got no answer."""
    return isinstance(error, httpx.TransportError) and str(error.request.url).startswith(url)


def worker_is_online(api: str, auth: str, pool: str) -> bool:
    """Return whether the worker of this machine takes runs from a pool of Prefect's server, whose secret is `auth`."""
    user, _, password = auth.partition(":")
    try:
        answer = httpx.post(
            f"{api}/work_pools/{pool}/workers/filter",
            json={},
            auth=httpx.BasicAuth(user, password),
            timeout=PROBE_SECONDS,
            trust_env=False,
        )
        return answer.is_success and any(
            worker["name"] == f"{pool}-local" and worker["status"] == "ONLINE" for worker in answer.json()
        )
    except httpx.HTTPError:
        return False
