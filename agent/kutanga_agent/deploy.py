"""Install what the hub asks: fetch, check, unpack, run its script, and go back when the device is not well afterwards.

Where the work stands is kept on disk, so that a restart in the middle is told and not forgotten; the last word is sent
again until the hub has taken it.
"""

from __future__ import annotations

import base64
import json
import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from . import configure, fetch, scripts, sealed, unpack
from .errors import WorkError
from .hub import HubError
from .work import handles

if TYPE_CHECKING:
    from .loop import Agent

logger = logging.getLogger(__name__)
WORK, REPORT = "work.json", "report.json"
BUNDLES = "bundles"
HEALTH_SECONDS, SCRIPT_SECONDS = 30, 300.0


@handles("deploy")
@handles("rollback")
def deploy(agent: Agent, command: dict[str, Any]) -> None:
    """Do it, and keep what came of it until the hub has taken it."""
    deployment = str(UUID(str(command["deployment_id"])))
    agent.state.write(WORK, json.dumps({"deployment_id": deployment}).encode())
    try:
        said = _install(agent, deployment)
    except WorkError as error:
        logger.warning("%s (%s)", error.message, error.code)
        said = {
            "status": "failed",
            "error_code": error.code,
            "error_message": error.message[:2000],
            "output": error.output,
        }
    except HubError as error:
        if error.status in (403, 404, 409, 410):  # it is not ours to do any more
            logger.info("the work is off: %s", error.message)
            said = {"status": "cancelled"} if error.code == "called_off" else {}
        else:
            said = {"status": "failed", "error_code": "download", "error_message": error.message[:2000]}
    _keep(agent, deployment, said)
    deliver(agent)


@handles("cancel")
def cancel(agent: Agent, command: dict[str, Any]) -> None:
    """Nothing is under way when a command is read, so there is nothing to stop."""
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
        if error.status == 0 or error.status >= 500 or error.status == 429:
            raise
        logger.warning("the hub does not take the result: %s (%s)", error.message, error.code)
    (agent.state.place / REPORT).unlink(missing_ok=True)


def recover(agent: Agent) -> None:
    """After a start: work that was cut short has failed, for a reason that may not come again."""
    content = agent.state.read(WORK)
    if content is not None:
        text = "The agent was restarted in the middle of it."
        said = {"status": "failed", "error_code": "busy", "error_message": text}
        _keep(agent, json.loads(content)["deployment_id"], said)


def _keep(agent: Agent, deployment: str, said: dict[str, Any]) -> None:
    if said:
        agent.state.write(REPORT, json.dumps({"deployment_id": deployment, "said": said}).encode())
    (agent.state.place / WORK).unlink(missing_ok=True)


def _install(agent: Agent, deployment: str) -> dict[str, Any]:
    """Fetch, check, unpack and run; answers what to report."""
    path = f"/api/v1/deployments/{deployment}"
    _say(agent, path, "downloading")
    work = agent.hub.read(f"{path}/work")
    bundle, place = work["bundle"], agent.state.place
    sealed.check_publisher(bundle, place)
    archive = _plain_file(agent, work)
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
    output = _run_script(agent, final, kind, configure.deploy_seconds(agent, most), most=most)
    before = agent.state.memory.bundle_id
    try:
        _run_script(agent, final, "health", HEALTH_SECONDS)
    except WorkError as error:
        return _go_back(agent, before, error)
    memory = agent.state.memory
    memory.bundle_version, memory.bundle_id = bundle["version"], bundle["id"]
    agent.state.save()
    _clean(place / BUNDLES, {bundle["id"], before})
    return {"status": "installed", "output": output}


def _plain_file(agent: Agent, work: dict[str, Any]) -> Path:
    """The bundle's file, whole, opened and with the digest that was promised."""
    bundle, file, place = work["bundle"], work["file"], agent.state.place
    bundle_id = UUID(bundle["id"])
    (place / BUNDLES).mkdir(mode=0o750, exist_ok=True)
    stored = fetch.fetch(agent.hub, file, place / BUNDLES / f"{bundle_id}.part")
    plain = stored
    if file["is_sealed"]:
        keys = [sealed.sealing_key(agent.store).private, agent.hub.key.private]
        plain = stored.with_suffix(".plain")
        try:
            sealed.open_sealed(stored, plain, file["wrapped_key"] or {}, bundle_id.bytes, keys)
        except WorkError:
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


def _run_script(agent: Agent, place: Path, kind: str, seconds: float, *, most: float = 3600) -> str:
    """Run what the manifest names for it, if it names something: for as long as that says, else so many seconds."""
    root, manifest = unpack.read_manifest(place)
    asked = manifest.get(kind)
    if not isinstance(asked, dict):
        return ""
    own = agent.state.place / "data"
    own.mkdir(mode=0o750, exist_ok=True)
    values = {"KUTANGA_VERSION": manifest["version"], "KUTANGA_BUNDLE": str(root), "KUTANGA_STATE": str(own)}
    limit = asked.get("timeout_seconds", seconds)
    return scripts.run(unpack.inside(root, asked["script"]), root, seconds=min(float(limit), most), values=values)


def _say(agent: Agent, path: str, status: str) -> None:
    agent.hub.signed("POST", f"{path}/result", {"status": status})


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
