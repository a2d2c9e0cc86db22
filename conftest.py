"""Give every test run a real PostgreSQL and Valkey, before Django reads its settings.

This file is loaded before anything of the project, so the settings module is named here and not in pyproject.toml:
pytest-django would import it first. Under pytest-xdist the workers share one PostgreSQL (each makes its own database)
and have one Valkey each, so that a test may empty it. HUB_TEST_EXTERNAL=1 uses DATABASE_URL and REDIS_URL instead.
"""

import atexit
import base64
import importlib
import os
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

from hub.launcher.throwaway import Throwaway

EXPECT_MS = 30_000
# A run fails for what is wrong with the change, and fails again when it is repeated.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")
IS_XDIST_WORKER = "PYTEST_XDIST_WORKER" in os.environ
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDS = {
    "docker": "needs a Docker Engine: install one (apt install docker.io) and let this user reach its socket",
    "compose": "needs Compose and debootstrap, as root: apt install docker-compose debootstrap",
    "browser": "needs Chromium: install it (apt install chromium)",
    "nginx": "needs nginx (apt install nginx-light)",
    "prometheus": "needs promtool, amtool and prometheus (apt install prometheus prometheus-alertmanager)",
}


def start_services() -> None:
    """Put the addresses and keys of this run into the environment, where the settings look for them."""
    if "hub.settings" in sys.modules:
        raise pytest.UsageError("Unset DJANGO_SETTINGS_MODULE: the tests start their own database before the settings.")
    external = os.environ.get("HUB_TEST_EXTERNAL") == "1"
    if not external:
        services = Throwaway(postgres=not IS_XDIST_WORKER)
        atexit.register(services.close)
        for name in ("database_url", "redis_url"):
            if name in services.addresses:
                os.environ[name.upper()] = services.addresses[name]

    data = tempfile.TemporaryDirectory(prefix="kutanga-test-data-")
    atexit.register(data.cleanup)
    os.chmod(data.name, 0o711)  # noqa: S103 - as root, workloads of another user live below it
    os.mkdir(f"{data.name}/static")  # whitenoise warns about a missing one in every test that asks for a page
    os.environ["HUB_DATA"] = data.name
    os.environ["HUB_SECRET_KEY"] = secrets.token_urlsafe(48)
    os.environ["HUB_SECRET_KEYS"] = "1:" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
    os.environ["HUB_AUDIT_STRICT"] = "yes"
    os.environ["HUB_REQUEST_LOG_DAYS"] = "0"  # its thread would write beside the transactions of tests
    os.environ["HUB_ERROR_DAYS"] = "0"  # likewise
    os.environ["HUB_LOCAL_ENGINE"] = "process"  # tests that want Docker say so
    os.environ["DJANGO_SETTINGS_MODULE"] = "hub.settings"


def hear_interrupts() -> None:
    """A shell makes what it starts in the background deaf to Ctrl-C, and so would be all that tests start and stop."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


hear_interrupts()
start_services()
# The conftest files of the apps import models, and pytest loads them before it calls any hook.
importlib.import_module("django").setup()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes() -> None:
    """Hide the settings module from the workers about to start: each names it itself, once it has its own Valkey."""
    os.environ.pop("DJANGO_SETTINGS_MODULE", None)


class FilesApart(LoadScopeScheduling):
    """Give each worker whole files, and all that use the Docker Engine to one: its networks and firewall are shared."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "docker" if "docker" in path.rpartition("/")[2] else path


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> FilesApart:
    """Hand files out in the order collected: it puts the longest first and the browser's last."""
    config.option.loadscopereorder = False
    return FilesApart(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the browser's tests behind all others, and skip what this machine cannot run.

    Playwright leaves an event loop in this thread until the session ends, and beside one Django keeps its connections
    apart. A child forked then has no loop: it would go on with a connection from before, which may be dead by now.
    """
    items.sort(key=lambda item: (item.get_closest_marker("browser") is not None, place_in_queue(item)))
    skip_what_cannot_run(items)


def place_in_queue(item: pytest.Item) -> int:
    """Workers begin with what takes longest; a run without them keeps the order of the files."""
    return not item.get_closest_marker("docker") if IS_XDIST_WORKER else 0


def skip_what_cannot_run(items: list[pytest.Item]) -> None:
    """Skip the tests that lack something and say how to get it; with HUB_TEST_ALL=1 they run and fail."""
    if os.environ.get("HUB_TEST_ALL") == "1":
        return
    answers: dict[str, Callable[[], bool]] = {
        "docker": docker_answers,
        "compose": lambda: os.geteuid() == 0 and all(map(shutil.which, ("docker-compose", "debootstrap"))),
        "browser": lambda: CHROMIUM is not None,
        "nginx": lambda: shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin") is not None,
        "prometheus": prometheus_is_here,
    }
    for item in items:
        for name, reason in NEEDS.items():
            # Not by keyword: the folder of a clone, too, may be called "docker".
            if item.get_closest_marker(name) and not answers[name]():
                item.add_marker(pytest.mark.skip(reason=reason))


def prometheus_is_here() -> bool:
    return all(map(shutil.which, ("prometheus", "promtool", "amtool")))


@cache
def docker_answers() -> bool:
    """Say whether a Docker Engine answers; imports its library only when a test asks."""
    docker = importlib.import_module("docker")
    try:
        client = docker.from_env(timeout=5)
        try:
            return bool(client.ping())
        finally:
            client.close()
    except docker.errors.DockerException:
        return False


@pytest.fixture(scope="session")
def browser_type_launch_args(
    browser_type_launch_args: dict[str, Any], django_db_setup: None
) -> Iterator[dict[str, Any]]:
    """Use the machine's Chromium; its sandbox does not work for root.

    Playwright keeps an event loop in this thread, which Django takes for asynchronous code: the database is made before
    it starts, and used beside it until it has ended. What a page shall show is waited for longer than Playwright's five
    seconds: pages ask anew every few seconds, and a busy machine takes as long again.
    """
    importlib.import_module("playwright.sync_api").expect.set_options(timeout=EXPECT_MS)
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        yield {**browser_type_launch_args, "executable_path": CHROMIUM, "args": sandbox}
