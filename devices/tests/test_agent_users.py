"""An agent that gives up root may not read its own code any more: what it needs later must be there by then."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest
from django.conf import settings

# Nothing can be imported after the change, as where the program lies in root's own directory.
SCRIPT = """
import pathlib, sys
from kutanga_agent import __main__, keys, sealed, users
users.become(sys.argv[1], pathlib.Path(sys.argv[2]))
sys.path.clear(), sys.meta_path.clear()
for kind in keys.KINDS:
    keys.Key.make(kind).sign(b"message")
print(len(sealed.x25519.X25519PrivateKey.generate().public_key().public_bytes_raw()))
key = sealed.AESGCM(sealed.AESGCM.generate_key(256))
print(key.decrypt(bytes(12), key.encrypt(bytes(12), b"kept", None), None).decode())
"localhost".encode("idna")
import os
print(os.geteuid())
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_agent_that_gave_up_root_still_makes_keys_and_opens_what_is_sealed(tmp_path):
    state = tmp_path / "state"
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "nobody", str(state)],
        env={"PYTHONPATH": str(settings.BASE_DIR / "agent")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.split() == ["32", "kept", str(pwd.getpwnam("nobody").pw_uid)], done.stderr
    assert state.stat().st_uid == pwd.getpwnam("nobody").pw_uid
