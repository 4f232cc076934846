"""Prefect from the outside: what the pool lets a run say, and whose profile is activated and left."""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_PROFILES_PATH, temporary_settings
from prefect.settings.profiles import load_profiles

from infra.options import StackOptions
from infra.orchestrator import PROFILE, job_template, leave_server, use_server
from infra.secrets import PREFECT_SERVER_AUTH, make_prefect_auth, prefect_auth

HERE, ELSEWHERE = StackOptions(), StackOptions(prefect_port=4201)


@pytest.fixture
def profiles(tmp_path: Path) -> Iterator[Path]:
    """Prefect's file of profiles."""
    path = tmp_path / "profiles.toml"
    with temporary_settings({PREFECT_PROFILES_PATH: path}):
        yield path


def test_a_run_cannot_say_what_is_executed_with_what_and_where() -> None:
    template = job_template()
    assert set(template["job_configuration"]) == {"labels", "name", "stream_output"}
    assert set(template["variables"]["properties"]) == {"labels", "name", "stream_output"}
    assert template["variables"]["additionalProperties"] is False


def test_the_profile_holds_the_secret_and_only_its_owner_reads_it(profiles: Path, tmp_path: Path) -> None:
    profiles.write_text('active = "mine"\n\n[profiles.mine]\nPREFECT_API_URL = "http://mine.example/api"\n')
    profiles.chmod(0o644)
    make_prefect_auth(tmp_path)
    use_server(HERE, tmp_path)
    found = load_profiles()
    assert found.active_name == PROFILE
    assert found[PROFILE].settings[PREFECT_API_AUTH_STRING] == prefect_auth(tmp_path)
    assert stat.S_IMODE(profiles.stat().st_mode) == 0o600
    leave_server(HERE, tmp_path)
    assert load_profiles().active_name == "mine"
    assert PROFILE not in load_profiles().names


def test_a_secret_of_the_environment_stays_there(
    profiles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PREFECT_SERVER_AUTH, "engineer:given")
    make_prefect_auth(tmp_path)
    use_server(HERE, tmp_path)
    assert set(load_profiles()[PROFILE].settings) == {PREFECT_API_URL}
    assert "given" not in profiles.read_text()


@pytest.mark.usefixtures("profiles")
def test_the_profile_of_another_stack_is_left_alone(tmp_path: Path) -> None:
    make_prefect_auth(tmp_path)
    use_server(ELSEWHERE, tmp_path)
    leave_server(HERE, tmp_path)
    assert load_profiles().active_name == PROFILE
    leave_server(ELSEWHERE, tmp_path)
    assert load_profiles().active_name != PROFILE
