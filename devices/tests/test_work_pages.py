"""Pages of bundles, publishers and deployments."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.actors import SYSTEM
from accounts.models import AuditEntry
from accounts.tests.factories import UserFactory
from devices.bundles.choices import BundleStatus
from devices.bundles.models import Bundle, PublisherKey
from devices.bundles.services import add_publisher, upload_bundle
from devices.deployments.choices import DeploymentStatus, TargetStatus
from devices.deployments.models import Deployment
from devices.models import Device

from . import bundle_files
from .deployment_helpers import PUBLISHER, beat, deploy, make_bundle, only, report, run_through, signed_camera
from .factories import DeviceFactory, DeviceGroupFactory
from .signing import pem_of
from .test_pages import browser, page

pytestmark = pytest.mark.django_db
SCRIPT = {"Accept": "application/json"}
T = TargetStatus


@pytest.fixture(autouse=True)
def _own_store(settings: Any, tmp_path: Path) -> None:
    settings.HUB_BUNDLES_INCOMING = tmp_path / "incoming"
    settings.HUB_BUNDLE_ENCRYPTION = False
    backend, options = "django.core.files.storage.FileSystemStorage", {"location": tmp_path / "bundles"}
    settings.STORAGES = {**settings.STORAGES, "bundles": {"BACKEND": backend, "OPTIONS": options}}


@pytest.fixture
def staff() -> Client:
    return browser(UserFactory(role="Operator", username="rudo"))


@pytest.fixture
def viewer() -> Client:
    return browser(UserFactory(role="Viewer"))


def file_of(data: bytes) -> SimpleUploadedFile:
    return SimpleUploadedFile("gate.tar.gz", data)


def asked(bundle: Bundle, **values: Any) -> dict[str, Any]:
    usual = {"soak_seconds": 0, "timeout_seconds": 300, "max_attempts": 3}
    return {"bundle": bundle.pk, **usual, **values}


# --- Bundles


def test_small_bundle_goes_up_without_a_script(staff: Client) -> None:
    data = bundle_files.bundle("1.0", device_types=["pi4"])

    text = page(staff, "/bundles/new", file=file_of(data), name="gate", version="1.0", kind="archive")

    bundle = Bundle.objects.get()
    assert bundle.status == BundleStatus.READY
    assert bundle.sha256 in text
    assert "gate 1.0 is uploaded." in text
    assert "deploy.sh" in text  # its manifest


def test_refused_bundle_stays_in_the_form_with_the_reason(staff: Client) -> None:
    values = {"name": "gate", "version": "2.0", "kind": "archive"}

    empty = staff.post("/bundles/new", values)
    wrong = staff.post("/bundles/new", {**values, "file": file_of(bundle_files.bundle("1.0"))})

    assert (empty.status_code, wrong.status_code) == (422, 422)
    assert "Choose a file." in empty.content.decode()
    assert "manifest says version 1.0" in wrong.content.decode()
    assert not Bundle.objects.exists()


def test_script_sends_pieces_and_goes_on_where_it_was(staff: Client) -> None:
    data = bundle_files.bundle("1.0")
    said = {"name": "gate", "version": "1.0", "kind": "archive", "size_bytes": len(data)}

    begun = staff.post("/bundles/new", said, headers=SCRIPT).json()
    again = staff.post("/bundles/new", said, headers=SCRIPT)
    first = _piece(staff, begun, 0, data[:100])
    gap = _piece(staff, begun, 200, data[200:])
    early = staff.post(begun["finish_url"], headers=SCRIPT)
    shown = page(staff, begun["url"])
    _piece(staff, begun, 100, data[100:])
    done = staff.post(begun["finish_url"], headers=SCRIPT)

    assert again.status_code == 422
    assert "already" in again.json()["problem"]
    assert first.json()["received"] == 100
    assert (gap.status_code, early.status_code, done.status_code) == (409, 409, 200)
    assert "Go on with the upload" in shown
    assert Bundle.objects.get().status == BundleStatus.READY


def _piece(client: Client, begun: dict[str, Any], offset: int, data: bytes) -> Any:
    url = f"{begun['piece_url']}?offset={offset}"
    return client.post(url, data, content_type="application/octet-stream")


def test_signature_file_names_the_bundle(staff: Client) -> None:
    add_publisher(actor=SYSTEM, name="factory", public_key=pem_of(PUBLISHER))
    signature = SimpleUploadedFile("camera.sig", json.dumps(signed_camera("3.0")).encode())
    unsigned = staff.post(
        "/bundles/new", {"size_bytes": 10, "name": "x", "version": "1", "kind": "image"}, headers=SCRIPT
    )
    broken = SimpleUploadedFile("camera.sig", b"{}")

    bad = staff.post("/bundles/new", {"size_bytes": 10, "kind": "image", "signature": broken}, headers=SCRIPT)
    good = staff.post("/bundles/new", {"size_bytes": 10, "kind": "image", "signature": signature}, headers=SCRIPT)

    assert "signed by a publisher" in unsigned.json()["problem"]
    assert "no signature file" in bad.json()["problem"]
    assert good.status_code == 201
    assert str(Bundle.objects.get()) == "camera 3.0"


def test_bundle_is_invalidated_with_its_consequences_shown(staff: Client) -> None:
    bundle = make_bundle("1.0")
    run_through(bundle, DeviceFactory())
    deploy(bundle, DeviceFactory(), DeviceFactory())
    path = f"{bundle.get_absolute_url()}/invalidate"

    question = page(staff, path)
    silent = staff.post(path, {"typed": "camera 1.0"})
    text = page(staff, path, typed="camera 1.0", reason="It bricks cameras.")

    bundle.refresh_from_db()
    assert "1 devices say that they run it" in question
    assert "2 devices are to get it" in question
    assert silent.status_code == 422
    assert bundle.status == BundleStatus.INVALID
    assert "It bricks cameras." in text
    assert "/deployments/new" not in text


def test_used_bundle_cannot_be_deleted_and_an_unused_one_can(staff: Client) -> None:
    used, unused = make_bundle("1.0"), make_bundle("2.0")
    run_through(used, DeviceFactory())

    kept = staff.post(f"{used.get_absolute_url()}/delete")
    staff.post(f"{unused.get_absolute_url()}/delete")

    assert "A device is to get it" in kept.content.decode()
    assert list(Bundle.objects.all()) == [used]


def test_publishers_are_the_admins(staff: Client) -> None:
    admin = browser(UserFactory(role="Admin"))
    values = {"name": "factory", "public_key": pem_of(PUBLISHER)}

    refused = staff.post("/publisher-keys/", values)
    bad = admin.post("/publisher-keys/", {**values, "public_key": "none"})
    text = page(admin, "/publisher-keys/", **values)
    key = PublisherKey.objects.get()
    page(admin, f"/publisher-keys/{key.pk}/switch", is_enabled="no")

    key.refresh_from_db()
    assert (refused.status_code, bad.status_code) == (403, 422)
    assert "Signatures of factory are trusted" in text
    assert not key.is_enabled
    assert "<textarea" not in page(staff, "/publisher-keys/")
    assert f"{key.name},False,{key.fingerprint}" in page(staff, "/publisher-keys/?is_enabled=False&csv=1")


# --- Deployments


def test_preview_says_who_gets_it_and_who_cannot_and_why_and_stores_nothing(staff: Client) -> None:
    group = DeviceGroupFactory(slug="gates")
    group.devices.add(DeviceFactory(name="fits", device_type="pi4"), DeviceFactory(name="other", device_type="pi3"))
    bundle = make_bundle("1.0", device_types=["pi4"])

    text = page(staff, "/deployments/new", **asked(bundle, groups="gates", step="preview"))

    assert "camera 1.0 to 1 device" in text
    assert "It is for pi4; the device is pi3." in text
    assert not Deployment.objects.exists()
    kept = 'name="groups" value="gates"'
    assert kept in text


def test_deployment_starts_from_its_preview(staff: Client) -> None:
    device = DeviceFactory(name="gate-1")

    text = page(staff, "/deployments/new", **asked(make_bundle("1.0"), devices="gate-1", step="start"))

    deployment = Deployment.objects.get()
    assert only(deployment).device == device
    assert f'The deployment is made. <a href="/deployments/{deployment.pk}">Show</a>' in text
    assert "0 of 1 proven" in text


def test_change_something_leads_back_with_what_was_typed(staff: Client) -> None:
    text = page(staff, "/deployments/new", **asked(make_bundle("1.0"), description="Night shift", step="change"))

    assert 'value="Night shift"' in text
    assert "Step 1 of 2" in text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Choose groups, devices or all."),
        ({"devices": "nobody"}, "There is no device nobody."),
        ({"to_all": "on", "soak_seconds": -1}, "greater than or equal to 0"),
        ({"to_all": "on", "window_starts_at": "22:00"}, "A window has a beginning and a length."),
    ],
)
def test_form_says_what_is_missing(staff: Client, values: dict[str, Any], words: str) -> None:
    DeviceFactory()

    answer = staff.post("/deployments/new", asked(make_bundle("1.0"), **{"step": "start", **values}))

    assert answer.status_code == 422
    assert words in answer.content.decode()
    assert not Deployment.objects.exists()


def test_link_from_a_bundle_or_device_fills_the_form_in(staff: Client) -> None:
    bundle, device = make_bundle("1.0"), DeviceFactory()

    text = page(staff, f"/deployments/new?bundle={bundle.pk}&device={device.pk}")

    assert f'value="{bundle.pk}" selected' in text
    assert f"#{device.number}" in text


def test_board_follows_and_stops_asking_at_the_end(viewer: Client) -> None:
    device = DeviceFactory(name="gate-1")
    deployment = deploy(make_bundle("1.0"), device)
    path, headers = deployment.get_absolute_url(), {"HX-Request": "true", "HX-Target": "board"}
    first = viewer.get(path, headers=headers)

    same = viewer.get(path, headers={**headers, "If-None-Match": first["ETag"]})
    beat(device)
    report(device, deployment, "downloading", progress_percent=40)
    half = viewer.get(path, headers={**headers, "If-None-Match": first["ETag"]})
    report(device, deployment, "success")
    last = viewer.get(path, headers={**headers, "If-None-Match": half["ETag"]})

    assert [each.status_code for each in (first, same, half, last)] == [200, 304, 200, 286]
    assert 'value="40"' in half.content.decode()
    assert "1 of 1 proven" in last.content.decode()
    assert "/cancel" not in page(viewer, path)


def test_what_can_be_done_follows_the_board(staff: Client) -> None:
    device = DeviceFactory(name="gate-1")
    deployment = deploy(make_bundle("1.0"), device)
    path, headers = deployment.get_absolute_url(), {"HX-Request": "true", "HX-Target": "board"}
    beat(device)
    half = staff.get(path, headers=headers).content.decode()

    report(device, deployment, "success")
    last = staff.get(path, headers=headers).content.decode()

    assert [f"{path}/cancel" in each for each in (half, last)] == [True, False]
    assert [f"{path}/roll-back" in each for each in (half, last)] == [False, True]


def test_board_is_narrowed_by_state(viewer: Client) -> None:
    deployment = deploy(make_bundle("1.0"), DeviceFactory(name="gate-1"), DeviceFactory(name="gate-2"))
    deployment.targets.filter(device__name="gate-1").update(status=T.FAILED, error_message="No room.")

    text = page(viewer, f"{deployment.get_absolute_url()}?status=failed")

    assert "gate-1" in text
    assert "gate-2" not in text
    assert "No room." in text


@pytest.mark.parametrize("path", ["/deployments/", "board"])
def test_lists_cost_the_same_for_any_number(viewer: Client, path: str) -> None:
    bundle = make_bundle("1.0")
    deployment = deploy(bundle, DeviceFactory())
    url = deployment.get_absolute_url() if path == "board" else path

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            page(viewer, url)
        return len(queries)

    cost()
    few = cost()
    for _ in range(4):
        device = DeviceFactory()
        deploy(bundle, device)
        deployment.targets.create(device=DeviceFactory(), bundle=bundle)

    assert cost() == few


def test_deployment_is_called_off_after_a_question(staff: Client) -> None:
    deployment = deploy(make_bundle("1.0"), DeviceFactory())
    path = f"{deployment.get_absolute_url()}/cancel"
    assert "1 devices that wait are not offered it" in page(staff, path)

    page(staff, path, reason="Wrong night.")

    deployment.refresh_from_db()
    assert deployment.status == DeploymentStatus.CANCELLED
    assert only(deployment).status == T.CANCELLED


def test_silent_device_is_ended_and_failed_ones_are_tried_again(staff: Client) -> None:
    device = DeviceFactory()
    deployment = deploy(make_bundle("1.0"), device)
    beat(device)
    report(device, deployment, "failed", error_code="script", error_message="It ended with 3.")

    page(staff, f"{deployment.get_absolute_url()}/retry", now="1")
    again = Deployment.objects.get(parent=deployment)
    target = only(again)
    page(staff, f"{again.get_absolute_url()}/targets/{target.pk}/end", now="1")

    assert only(again).status == T.CANCELLED


def test_rollback_names_where_each_goes_and_who_cannot(staff: Client) -> None:
    first, second = DeviceFactory(name="has-a-past"), DeviceFactory(name="has-none")
    run_through(make_bundle("1.0"), first)
    deployment = run_through(make_bundle("2.0"), first, second)
    path = f"{deployment.get_absolute_url()}/roll-back"

    question = page(staff, path)
    text = page(staff, path, now="1")

    assert "1 device to camera 1.0" in question
    assert "Nothing else was ever installed on it with success." in question
    back = Deployment.objects.get(parent=deployment)
    assert [str(each.bundle) for each in back.targets.all()] == ["camera 1.0"]
    assert "The devices are sent back." in text


def test_viewer_neither_uploads_nor_deploys(viewer: Client) -> None:
    deployment = deploy(make_bundle("1.0"), DeviceFactory())

    for path in ("/bundles/new", "/deployments/new", f"{deployment.get_absolute_url()}/roll-back"):
        assert viewer.get(path).status_code == 403, path
    assert viewer.post(f"{deployment.get_absolute_url()}/cancel").status_code == 403


def test_limited_operator_reaches_his_regions_only() -> None:
    from hub.nodes.tests.factories import RegionFactory

    here, there = RegionFactory(slug="here"), RegionFactory(slug="there")
    mine, other = DeviceFactory(region=here, name="mine"), DeviceFactory(region=there, name="other")
    client, bundle = browser(UserFactory(role="Operator", regions=["here"])), make_bundle("1.0")

    refused = client.post("/deployments/new", asked(bundle, devices="other", step="start"))
    page(client, "/deployments/new", **asked(bundle, to_all="on", step="start"))

    assert "There is no device other." in refused.content.decode()
    assert [target.device for target in Deployment.objects.get().targets.all()] == [mine]
    assert Device.objects.filter(pk=other.pk, targets=None).exists()


@pytest.mark.parametrize("is_sealed", [False, True])
def test_a_person_downloads_what_was_uploaded_and_goes_on_after_a_cut(
    viewer: Client, settings: Any, is_sealed: bool
) -> None:
    settings.HUB_BUNDLE_ENCRYPTION = is_sealed
    data = bundle_files.bundle("1.0", name="camera")
    stored = upload_bundle(file=io.BytesIO(data), name="camera", version="1.0", size_bytes=len(data), actor=SYSTEM)
    assert stored.is_sealed is is_sealed
    where = f"/bundles/{stored.pk}/file"
    assert f'href="{where}"' in page(viewer, f"/bundles/{stored.pk}")

    whole = viewer.get(where)
    rest = viewer.get(where, headers={"Range": "bytes=10-", "If-Range": whole["ETag"]})

    assert b"".join(whole.streaming_content) == data
    assert whole["Content-Disposition"] == 'attachment; filename="camera-1.0.tar.gz"'
    assert (rest.status_code, b"".join(rest.streaming_content)) == (206, data[10:])
    assert AuditEntry.objects.filter(action="bundle.downloaded").count() == 1


def test_who_may_not_see_bundles_gets_no_file() -> None:
    stored = make_bundle()

    assert browser(UserFactory(role="Player")).get(f"/bundles/{stored.pk}/file").status_code == 404
    assert Client().get(f"/bundles/{stored.pk}/file").status_code == 302


def test_a_file_that_is_not_there_is_said(viewer: Client) -> None:
    assert viewer.get(f"/bundles/{make_bundle(stored_sha256='b' * 64).pk}/file").status_code == 410
    half = make_bundle("2.0", status=BundleStatus.UPLOADING)
    assert viewer.get(f"/bundles/{half.pk}/file").status_code == 404
