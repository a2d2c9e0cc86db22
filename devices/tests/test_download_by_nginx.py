"""A device fetches its bundle from the real nginx of deploy/, after the hub has looked who asks."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from devices import sessions
from devices.models import DeviceKey
from hub.tests.proxy import Proxy

from .conftest import Caller
from .deployment_helpers import deploy, make_bundle

pytestmark = [pytest.mark.nginx, pytest.mark.slow, pytest.mark.django_db(transaction=True)]
STORED = b"0123456789" * 1000


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(tmp_path, HUB_BUNDLE_ACCEL="/bundles-internal/").running("web-1") as proxy:
        yield proxy


def test_bundle_is_sent_by_nginx_in_part_and_to_nobody_else(caller: Caller, proxy: Proxy) -> None:
    bundle = make_bundle(stored_sha256=sha256(STORED).hexdigest(), stored_bytes=len(STORED))
    (proxy.bundles / bundle.stored_name).write_bytes(STORED)
    deployment = deploy(bundle, caller.device)
    caller.beat()
    key = DeviceKey.objects.select_related("device").get(device=caller.device, state="active")
    by_device: dict[str, Any] = {"Authorization": f"Bearer {sessions._sign(key)}"}
    path = f"/api/v1/deployments/{deployment.pk}/file"

    status, headers, body = proxy.ask(path, **by_device, Range="bytes=9990-")

    assert (status, body) == (206, b"0123456789")
    assert headers["Content-Range"] == "bytes 9990-9999/10000"
    assert headers["ETag"] == f'"{bundle.stored_sha256}"'
    assert "X-Accel-Redirect" not in headers
    assert proxy.ask(path, **by_device)[2] == STORED
    goes_on = {**by_device, "Range": "bytes=9990-", "If-Range": headers["ETag"]}
    assert proxy.ask(path, **goes_on)[0] == 206
    assert proxy.ask(path, **{**goes_on, "If-Range": '"another"'})[0] == 200
    assert proxy.ask(path)[0] == 401
    assert proxy.ask(f"/bundles-internal/{bundle.stored_name}")[0] == 404
