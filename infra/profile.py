"""The user's Prefect profile [prefect]: while the local stack runs, `prefect` on its own means the stack's server."""

from pathlib import Path

from prefect.settings import PREFECT_API_URL
from prefect.settings.profiles import Profile, load_profiles, save_profiles

from infra.options import StackOptions
from infra.services import client_environment

PROFILE = "nmt"
BEFORE = "profile-before.txt"
"""In the stack's folder: the profile that was active before the stack's."""


def use_server(options: StackOptions, folder: Path) -> None:
    """Make a profile of the stack's server the active one; secrets stay in the environment."""
    profiles = load_profiles()
    if profiles.active_name not in {None, PROFILE}:
        (folder / BEFORE).write_text(str(profiles.active_name), "utf8")
    url = client_environment(options)["PREFECT_API_URL"]
    if PROFILE in profiles.names:
        profiles.remove_profile(PROFILE)
    profiles.add_profile(Profile(name=PROFILE, settings={PREFECT_API_URL: url}))
    profiles.set_active(PROFILE)
    save_profiles(profiles)


def leave_server(folder: Path) -> None:
    """Make the profile active that was so before, if ours still is."""
    profiles = load_profiles()
    if profiles.active_name != PROFILE:
        return
    before = (folder / BEFORE).read_text("utf8") if (folder / BEFORE).exists() else "ephemeral"
    profiles.set_active(before if before in profiles.names else None, check=False)
    profiles.remove_profile(PROFILE)
    save_profiles(profiles)
    (folder / BEFORE).unlink(missing_ok=True)
