"""What a web page that a user visits, or another user of the machine, tries with the servers of a stack."""

import httpx

from tests.infra.conftest import Machine

FOREIGN = "http://evil.example"


def web_pages_are_refused(machine: Machine) -> None:
    """A page's script sends what it likes, but with its Origin; after DNS rebinding, with its Host."""
    prefect, mlflow = (f"http://127.0.0.1:{machine.ports[name]}" for name in ("prefect", "mlflow"))
    wanted = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    preflight = httpx.options(f"{prefect}/api/deployments/", headers={"Origin": FOREIGN, **wanted})
    assert preflight.status_code == 400
    assert "access-control-allow-origin" not in preflight.headers
    for host in ("evil.example", "127.0.0.1.evil.example", "192.168.evil.example"):
        headers = {"Host": f"{host}:{machine.ports['prefect']}"}
        assert httpx.get(f"{prefect}/api/health", headers=headers).status_code == 400
        assert httpx.get(f"{prefect}/ui-settings", headers=headers).status_code == 400
        url = f"{mlflow}/api/2.0/mlflow/experiments/get?experiment_id=0"
        assert httpx.get(url, headers=headers).status_code == 403
    for host in ("localhost", "127.0.0.1"):  # As through a tunnel, with whatever port.
        assert httpx.get(f"{prefect}/api/health", headers={"Host": f"{host}:9"}).is_success
    created = httpx.post(
        f"{mlflow}/api/2.0/mlflow/registered-models/create", headers={"Origin": FOREIGN}, json={"name": "theirs"}
    )
    assert created.status_code == 403


def who_has_no_secret_is_refused(machine: Machine) -> None:
    """Another user of the machine reaches loopback as well."""
    api = f"http://127.0.0.1:{machine.ports['prefect']}/api"
    for auth in (None, httpx.BasicAuth("nmt", "wrong")):
        for method, path in (("POST", "deployments/filter"), ("POST", "flows/"), ("GET", "admin/settings")):
            assert httpx.request(method, f"{api}/{path}", json={}, auth=auth).status_code == 401


def runs_name_no_command(machine: Machine) -> None:
    """Who may start a run does not say what it executes, in which environment and where."""
    deployment = machine.prefect("deployments/filter", deployments={"name": {"any_": ["captions"]}})[0]["id"]
    url = f"http://127.0.0.1:{machine.ports['prefect']}/api/deployments/{deployment}/create_flow_run"
    canary = str(machine.folder / "canary")
    for variables in ({"command": f"touch {canary}"}, {"env": {"PYTHONPATH": canary}}, {"working_dir": canary}):
        answer = httpx.post(url, json={"job_variables": variables}, auth=machine.auth)
        assert answer.status_code == 422
        assert "Additional properties are not allowed" in answer.text
