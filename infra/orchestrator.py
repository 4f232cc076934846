"""Prefect from the outside [prefect]: a work pool, the end of dead runs, notifications, the user's profile."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from apprise import Apprise
from prefect import get_client
from prefect.blocks.core import Block
from prefect.blocks.notifications import CustomWebhookNotificationBlock, SlackWebhook
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, PREFECT_PROFILES_PATH
from prefect.settings.profiles import Profile, ProfilesCollection, load_profiles, save_profiles
from prefect.types import SecretDict
from prefect.workers.process import ProcessWorker
from pydantic import SecretStr

from infra.options import NOTIFY_VARIABLE, StackOptions
from infra.secrets import is_kept, prefect_auth
from infra.services import api_url
from pipeline.errors import InputError

NOTIFICATION = "nmt-notification"
ENDS = ("Completed", "Failed", "Crashed", "Cancelled", "TimedOut")
PROFILE = "nmt"
BEFORE = "profile-before.txt"
"""In the stack's folder: the profile that was active before the stack's."""
MISSED_HEARTBEATS = timedelta(seconds=90)
"""Three of those that the local stack's and the manifests' workers let runs send, every 30 seconds."""


def prepare_pool(name: str, limit: int) -> list[str]:
    """Create or update what runs need on the server at PREFECT_API_URL; return what was done, in words.

    The work pool executes `limit` runs at a time, as processes; others wait. A run whose heartbeats stop because its
    worker or machine died is marked as crashed, and can be retried. With NMT_NOTIFY_URL set, the end of every run is
    reported there: http and https URLs receive JSON with a field `text`, which chat programs' webhooks take; other
    URLs (mailto, slack, ...) are Apprise's.

    Raises InputError if no server is named, or NMT_NOTIFY_URL is no URL that Apprise knows.
    """
    if not PREFECT_API_URL.value():
        raise InputError("PREFECT_API_URL: no server is named; set it, or start one with `nmt up`")
    done = [f"work pool {name}: {limit} run{'' if limit == 1 else 's'} at a time"]
    with get_client(sync_client=True) as client:
        _keep_pool(client, name, limit)
        _keep_automation(client, _end_of_the_dead())
        done.append(f"runs without a heartbeat for {MISSED_HEARTBEATS.seconds} seconds are marked as crashed")
        url = os.environ.get(NOTIFY_VARIABLE)
        if url:
            _keep_automation(client, _notification(_keep_block(url)))
            done.append(f"the end of every run is reported to {NOTIFY_VARIABLE}")
    return done


def _keep_pool(client: SyncPrefectClient, name: str, limit: int) -> None:
    try:
        pool = client.read_work_pool(name)
    except ObjectNotFound:
        client.create_work_pool(
            WorkPoolCreate(name=name, type="process", concurrency_limit=limit, base_job_template=job_template())
        )
        return
    if pool.type != "process":
        raise InputError(f"--pool {name}: that work pool is of type {pool.type}, not process; choose another name")
    client.update_work_pool(name, WorkPoolUpdate(concurrency_limit=limit, base_job_template=job_template()))


def job_template() -> dict[str, Any]:
    """Return Prefect's template of a process, less what would let a run say what is executed, where and with what."""
    template = ProcessWorker.get_default_base_job_template()
    for name in ("command", "env", "working_dir"):
        del template["job_configuration"][name], template["variables"]["properties"][name]
    template["variables"]["additionalProperties"] = False
    return template


def _end_of_the_dead() -> AutomationCore:
    """Return the automation that Prefect documents for runs that died in silence."""
    states = {f"prefect.flow-run.{state}" for state in ENDS}
    return AutomationCore(
        name="nmt: mark dead runs as crashed",
        description="A run that was killed, or whose machine is gone, reports nothing: its heartbeats stop.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *states},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=MISSED_HEARTBEATS,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="No heartbeat: its worker or machine died. Retry it to continue."
            )
        ],
    )


def _notification(block: UUID) -> AutomationCore:
    return AutomationCore(
        name="nmt: tell how runs end",
        description=f"To the URL that {NOTIFY_VARIABLE} named.",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in ENDS},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            SendNotification(
                block_document_id=block,
                subject="{{ flow.name }} {{ flow_run.name }}: {{ flow_run.state.name }}",
                body="{{ flow_run.state.message }}\n{{ flow_run|ui_url }}",
            )
        ],
    )


def _keep_automation(client: SyncPrefectClient, automation: AutomationCore) -> None:
    found = client.read_automations_by_name(automation.name)
    if not found:
        client.create_automation(automation)
    # Only if it has changed: Prefect forgets the runs that an automation watches when it is updated, even to the
    # same, and would never miss the heartbeats of a run that died before.
    elif _content(found[0]) != _content(automation):
        client.update_automation(found[0].id, automation)


def _content(automation: AutomationCore) -> dict[str, Any]:
    """Return what an automation does, without the ids that the server assigns."""
    fields = automation.model_dump(include={"description", "enabled", "trigger", "actions"})
    return {**fields, "trigger": {name: value for name, value in fields["trigger"].items() if name != "id"}}


def _keep_block(url: str) -> UUID:
    block: Block
    if url.startswith(("http://", "https://")):
        # As a secret, since a webhook's URL is one: Prefect encrypts those and shows them to no one.
        block = CustomWebhookNotificationBlock(
            name=NOTIFICATION,
            url="{{address}}",
            secrets=SecretDict({"address": url}),
            json_data={"text": "{{subject}}\n{{body}}"},
        )
    elif Apprise().add(url):
        block = SlackWebhook(url=SecretStr(url))  # Takes every URL of Apprise's, whatever its name.
    else:
        raise InputError(
            f"{NOTIFY_VARIABLE}: no notification can be sent to that URL; give https://..., mailto://... or another "
            "that https://github.com/caronc/apprise lists"
        )
    kept = block.save(NOTIFICATION, overwrite=True)
    assert isinstance(kept, UUID)
    return kept


def use_server(options: StackOptions, folder: Path) -> None:
    """Activate a profile of the stack's server; a secret that the environment gave stays there."""
    profiles = load_profiles()
    if profiles.active_name not in {None, PROFILE}:
        (folder / BEFORE).write_text(str(profiles.active_name), "utf8")
    settings = {PREFECT_API_URL: api_url(options)}
    if is_kept(folder):
        settings[PREFECT_API_AUTH_STRING] = prefect_auth(folder)
    if PROFILE in profiles.names:
        profiles.remove_profile(PROFILE)
    profiles.add_profile(Profile(name=PROFILE, settings=settings))
    profiles.set_active(PROFILE)
    _save(profiles)


def _save(profiles: ProfilesCollection) -> None:
    """Save profiles in a file that only its owner can read: it has a secret in it."""
    path = PREFECT_PROFILES_PATH.value()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.chmod(0o600)
    save_profiles(profiles)


def leave_server(options: StackOptions, folder: Path) -> None:
    """Activate the profile that was active before the stack's, if that still is: not another stack's."""
    profiles = load_profiles()
    if profiles.active_name != PROFILE or profiles[PROFILE].settings.get(PREFECT_API_URL) != api_url(options):
        return
    before = (folder / BEFORE).read_text("utf8") if (folder / BEFORE).exists() else "ephemeral"
    profiles.set_active(before if before in profiles.names else None, check=False)
    profiles.remove_profile(PROFILE)
    _save(profiles)
    (folder / BEFORE).unlink(missing_ok=True)
