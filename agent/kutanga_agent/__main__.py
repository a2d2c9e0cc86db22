"""`kutanga-agent`: enrol, run, rotate-key, status."""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from . import VERSION, users
from .hub import HubError
from .keys import KINDS, NEXT, Key, KeyStore
from .loop import Agent
from .state import State

WAIT_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line asks."""
    chosen = _parser().parse_args(arguments)
    if chosen.user:
        users.become(chosen.user, chosen.state)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    state = State(chosen.state)
    store = KeyStore(state, chosen.passphrase_file)
    try:
        if chosen.command == "enrol":
            return _enrol(chosen, state, store)
        key = store.load()
        if chosen.command == "status":
            return _status(state, key)
        if key is None or not state.memory.device_id:
            print("This device has not enrolled. Use: kutanga-agent enrol --hub …", file=sys.stderr)
            return 2
        agent = Agent(state, store, key)
        if chosen.command == "rotate-key":
            agent.rotate_key(chosen.key)
            return 0
        return _run(agent)
    except HubError as error:
        print(f"{error.message} ({error.code})", file=sys.stderr)
        return 1


def _enrol(chosen: argparse.Namespace, state: State, store: KeyStore) -> int:
    if urlsplit(chosen.hub).scheme not in ("http", "https"):
        print("The hub's address begins with https:// (or http://).", file=sys.stderr)
        return 2
    state.memory.hub = chosen.hub.rstrip("/")
    state.memory.device_type = chosen.type or state.memory.device_type
    state.memory.identity = dict(pair.split("=", 1) for pair in chosen.identity) or state.memory.identity
    state.save()
    key = store.load()
    if key is None:
        key = Key.make(chosen.key)
        store.save(key)
    agent = Agent(state, store, key)
    token = sys.stdin.read().strip() if chosen.token == "-" else chosen.token  # noqa: S105
    answer: dict[str, Any] = agent.enrol(token=token)
    while chosen.wait and answer["status"] == "pending":
        time.sleep(WAIT_SECONDS)
        answer = agent.enrol()
    print(json.dumps({**answer, "fingerprint": key.fingerprint}))
    return 0


def _run(agent: Agent) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: agent.stopping.set())
    logging.getLogger().addHandler(agent.shipper)
    following = agent.store.load(NEXT)
    if following is not None:  # a rotation was cut short: the hub may know the next key or not
        logging.getLogger(__name__).info("takes up a rotation that was cut short")
        _take_up(agent, following)
    logging.getLogger(__name__).info("agent %s of device %s", VERSION, agent.state.memory.device_id)
    agent.run()
    return 0


def _take_up(agent: Agent, following: Key) -> None:
    """Try the next key: when the hub knows it, it is the key; else the old one goes on and the next is made anew."""
    present = agent.hub.key
    agent.use(following)
    try:
        agent.beat()
    except HubError as error:
        agent.use(present)
        if error.code == "unknown_key":
            (agent.state.place / NEXT).unlink()
        return
    agent.store.promote()


def _status(state: State, key: Key | None) -> int:
    shown = asdict(state.memory) | {"version": VERSION, "key": key.fingerprint if key else None}
    print(json.dumps(shown, indent=2, sort_keys=True))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="kutanga-agent", description="The agent of Kutanga Hub on an edge device.")
    parser.add_argument("--state", type=Path, default=Path("/var/lib/kutanga-agent"), help="state directory")
    parser.add_argument("--user", default="", help="become this user first, when started as root")
    parser.add_argument("--passphrase-file", type=Path, help="what encrypts the key")
    commands = parser.add_subparsers(dest="command", required=True)
    enrol = commands.add_parser("enrol", help="make a key and get known to a hub")
    enrol.add_argument("--hub", required=True, help="such as https://hub.example.org")
    enrol.add_argument("--token", default="", help="an enrolment token; - reads it from standard input")
    enrol.add_argument("--identity", action="append", default=[], metavar="NAME=VALUE", help="such as serial=GW-0042")
    enrol.add_argument("--type", default="", help="the type of device, such as gateway")
    enrol.add_argument("--key", choices=KINDS, default=KINDS[0], help="the kind of key to make")
    enrol.add_argument("--wait", action="store_true", help="until somebody has decided")
    commands.add_parser("run", help="call until stopped")
    rotate = commands.add_parser("rotate-key", help="make the next key, signed by the present one")
    rotate.add_argument("--key", choices=KINDS, default=KINDS[0])
    commands.add_parser("status", help="what the state directory holds")
    return parser


if __name__ == "__main__":
    sys.exit(main())
