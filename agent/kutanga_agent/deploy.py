"""Install what the hub asks: fetch, check, unpack, run its script, and go back when the device is not well afterwards.

Where the work stands is kept on disk, so that a restart in the middle is told and not forgotten; the last word is sent
again until the hub has taken it.
"""

from __future__ import annotations

import base64
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import configure, fetch, scripts, sealed, unpack
from .errors import WorkError, of_disk
from .hub import HubError
from .work import handles

if TYPE_CHECKING:
    from .loop import Agent

logger = logging.getLogger(__name__)
WORK, REPORT, RESTART = "work.json", "report.json", "restart-wanted"
BUNDLES = "bundles"
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
HEALTH_SECONDS, SCRIPT_SECONDS = 30, 300.0


@handles("deploy")
@handles("rollback")
def deploy(agent: Agent, command: dict[str, Any]) -> None:
    """Do it, and keep what came of it until the hub has taken it."""
    deployment = str(UUID(str(command["deployment_id"])))
    if _waits_for_restart(agent, deployment):
        return
    agent.state.forget(RESTART)
    agent.state.keep(WORK, json.dumps({"deployment_id": deployment}).encode())
    try:
        said = _install(agent, deployment)
    except WorkError as error:
        said = _failed(error)
    except HubError as error:
        said = _refused(error)
    except OSError as error:
        said = _failed(of_disk(error))
    except (KeyError, TypeError, ValueError) as error:
        said = _failed(WorkError("other", f"The agent cannot do this: {type(error).__name__} {error}"))
    if said is None:  # it goes on after the machine has been restarted
        return
    _keep(agent, deployment, said)
    deliver(agent)


@handles("cancel")
def cancel(agent: Agent, command: dict[str, Any]) -> None:
    """Nothing is under way when a command is read, so there is nothing to stop but the wait for a restart."""
    _keep(agent, str(UUID(str(command["deployment_id"]))), {"status": "cancelled"})
    deliver(agent)


def deliver(agent: Agent) -> None:
    """Send the last word if it was not taken yet; what the hub refuses for good is forgotten."""
    content = agent.state.read(REPORT)
    if content is None:
        return
    kept = json.loads(content)
    try:
        agent.hub.signed("POST", f"/api/v1/deployments/{kept['deployment_id']}/result", kept["said"])
    except HubError as error:
        if not error.is_final:
            raise
        logger.warning("the hub does not take the result: %s (%s)", error.message, error.code)
    agent.state.forget(REPORT)


def recover(agent: Agent) -> None:
    """After a start: work that waited for a restart goes on; what was cut short has failed, for a reason that may not
    come again."""
    content = agent.state.read(WORK)
    if content is None:
        agent.state.forget(RESTART)
        return
    work = json.loads(content)
    if (boot := work.get("boot")) is not None and boot == boot_id():
        return  # it is this program alone that was started again
    if boot is not None:
        try:
            said = _prove(agent, work)
        except WorkError as error:
            said = _failed(error)
        except OSError as error:
            said = _failed(of_disk(error))
    else:
        text = "The agent was restarted in the middle of it."
        said = {"status": "failed", "error_code": "busy", "error_message": text}
    _keep(agent, work["deployment_id"], said)


def boot_id() -> str:
    """Another one each time the machine starts."""
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _failed(error: WorkError) -> dict[str, Any]:
    logger.warning("%s (%s)", error.message, error.code)
    said = {"status": "failed", "error_code": error.code, "error_message": error.message[:2000]}
    return {**said, "output": error.output}


def _refused(error: HubError) -> dict[str, Any]:
    """What to say when the hub did not give what the work needs."""
    if error.code == "invalidated":
        return {"status": "failed", "error_code": "invalidated", "error_message": error.message[:2000]}
    if error.status in (403, 404, 409, 410):  # it is not ours to do any more
        logger.info("the work is off: %s", error.message)
        return {"status": "cancelled"} if error.code == "called_off" else {}
    return {"status": "failed", "error_code": "download", "error_message": error.message[:2000]}


def _keep(agent: Agent, deployment: str, said: dict[str, Any]) -> None:
    if said:
        agent.state.keep(REPORT, json.dumps({"deployment_id": deployment, "said": said}).encode())
    agent.state.forget(WORK)
    agent.state.forget(RESTART)


def _install(agent: Agent, deployment: str) -> dict[str, Any] | None:
    """Fetch, check, unpack and run; answers what to report, or None when the machine has to be restarted first."""
    path = f"/api/v1/deployments/{deployment}"
    _say(agent, path, "downloading")
    work = agent.hub.read(f"{path}/work")
    bundle, place = work["bundle"], agent.state.place
    sealed.check_publisher(bundle, place)
    archive = _plain_file(agent, work, path)
    fresh = place / BUNDLES / f"{bundle['id']}.new"
    try:
        shutil.rmtree(fresh, ignore_errors=True)
        unpack.unpack(archive, fresh)
    finally:
        archive.unlink(missing_ok=True)
    _, manifest = unpack.read_manifest(fresh)
    if manifest["version"] != bundle["version"]:
        raise WorkError("archive", f"The bundle says that it is version {manifest['version']}.")
    _say(agent, path, "installing")
    final = place / BUNDLES / bundle["id"]
    shutil.rmtree(final, ignore_errors=True)
    fresh.rename(final)
    kind = "rollback" if work["type"] == "rollback" and "rollback" in manifest else "deploy"
    most = float(work["timeout_seconds"])
    limit = configure.deploy_seconds(agent, most)
    output = _run_script(agent, final, kind, limit, most=most, tell=lambda: _tell(agent, path))
    done = {"deployment_id": deployment, "bundle_id": bundle["id"], "version": bundle["version"], "output": output}
    if manifest.get("needs_restart") is True:
        agent.state.write(WORK, json.dumps({**done, "boot": boot_id()}).encode())
        agent.state.write(RESTART, b"")
        _waits_for_restart(agent, deployment)
        return None
    return _prove(agent, done)


def _waits_for_restart(agent: Agent, deployment: str) -> bool:
    """Say so, if this is installed and the machine was not restarted since."""
    content = agent.state.read(WORK)
    work = json.loads(content) if content else {}
    if work.get("deployment_id") != deployment or "boot" not in work:
        return False
    logger.info("%s is installed; the machine has to be restarted", work["version"])
    _tell(agent, f"/api/v1/deployments/{deployment}", "restarting")
    return True


def _prove(agent: Agent, done: dict[str, Any]) -> dict[str, Any]:
    """What was installed runs from now on, if it is well; else the bundle before it does."""
    memory, place = agent.state.memory, agent.state.place / BUNDLES
    before = memory.bundle_id
    try:
        _run_script(agent, place / done["bundle_id"], "health", HEALTH_SECONDS)
    except WorkError as error:
        return _go_back(agent, before, error)
    memory.bundle_version, memory.bundle_id = done["version"], done["bundle_id"]
    agent.state.save()
    _clean(place, {done["bundle_id"], before})
    return {"status": "installed", "output": done["output"]}


def _plain_file(agent: Agent, work: dict[str, Any], path: str) -> Path:
    """The bundle's file, whole, opened and with the digest that was promised."""
    bundle, file, place = work["bundle"], work["file"], agent.state.place
    bundle_id = UUID(bundle["id"])
    (place / BUNDLES).mkdir(mode=0o750, exist_ok=True)

    def tell(percent: int) -> None:
        _tell(agent, path, "downloading", percent, heeds=True)

    stored = fetch.fetch(agent.hub, file, place / BUNDLES / f"{bundle_id}.part", tell)
    plain = stored
    if file["is_sealed"]:
        keys = [sealed.sealing_key(agent.store).private, agent.hub.key.private]
        plain = stored.with_suffix(".plain")
        try:
            sealed.open_sealed(stored, plain, file["wrapped_key"] or {}, bundle_id.bytes, keys)
        except (WorkError, OSError):
            plain.unlink(missing_ok=True)
            raise
        finally:
            stored.unlink(missing_ok=True)
    if plain.stat().st_size != bundle["size_bytes"] or sealed.digest(plain) != bundle["sha256"]:
        plain.unlink(missing_ok=True)
        raise WorkError("corrupted", "The file is not the one that was promised.")
    return plain


def _go_back(agent: Agent, before: str, error: WorkError) -> dict[str, Any]:
    """Have the bundle that ran before run again; when there is none the update has just failed."""
    place = agent.state.place / BUNDLES / before
    if not before or not place.is_dir():
        raise WorkError("unhealthy", f"Not well after the update: {error.message}", error.output)
    _, manifest = unpack.read_manifest(place)
    _run_script(
        agent,
        place,
        "rollback" if "rollback" in manifest else "deploy",
        configure.deploy_seconds(agent, SCRIPT_SECONDS),
    )
    text = f"Not well after the update: {error.message} Went back to {manifest['version']}."
    return {"status": "rolled_back", "error_code": "unhealthy", "error_message": text, "output": error.output}


def _run_script(
    agent: Agent,
    place: Path,
    kind: str,
    seconds: float,
    *,
    most: float = 3600,
    tell: Callable[[], None] = lambda: None,
) -> str:
    """Run what the manifest names for it, if it names something: for as long as that says, else so many seconds."""
    root, manifest = unpack.read_manifest(place)
    asked = manifest.get(kind)
    if not isinstance(asked, dict):
        return ""
    own = agent.state.place / "data"
    own.mkdir(mode=0o750, exist_ok=True)
    values = {"KUTANGA_VERSION": manifest["version"], "KUTANGA_BUNDLE": str(root), "KUTANGA_STATE": str(own)}
    limit = asked.get("timeout_seconds", seconds)
    script, limit = unpack.inside(root, asked["script"]), min(float(limit), most)
    return scripts.run(script, root, seconds=limit, values=values, tell=tell)


def _say(agent: Agent, path: str, status: str) -> None:
    agent.hub.signed("POST", f"{path}/result", {"status": status})


def _tell(
    agent: Agent, path: str, status: str = "installing", percent: int | None = None, *, heeds: bool = False
) -> None:
    """Say that it goes on, so that nobody takes the device for silent.

    A hub that does not answer holds nothing up; that the work was called off is `heeded` where it can still be stopped.
    """
    try:
        agent.hub.signed("POST", f"{path}/result", {"status": status, "progress_percent": percent})
    except HubError as error:
        if heeds and error.is_final:
            raise


def _clean(place: Path, kept: set[str]) -> None:
    """Keep what runs and what ran before."""
    for each in place.iterdir():
        if each.name not in kept:
            shutil.rmtree(each) if each.is_dir() else each.unlink()


def register_sealing_key(agent: Agent) -> None:
    """Tell the hub the key by which we read what is sealed for us; once."""
    memory = agent.state.memory
    if not memory.sealing_key:
        key = sealed.sealing_key(agent.store).private
        raw = base64.b64encode(key.public_key().public_bytes_raw()).decode()
        agent.hub.signed("POST", f"/api/v1/devices/{memory.device_id}/sealing-key", {"public_key": raw})
        memory.sealing_key = raw
        agent.state.save()
