"""docker-compose.yml as Debian's Compose reads it, small and full, and what deploy/ gives to those who watch."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
import rq
import yaml
from django.conf import settings
from rq.serializers import JSONSerializer

from hub.cache import PatientRedisCache
from hub.launcher.embedded import find_binaries
from hub.launcher.processes import follow_parent
from hub.testing import free_port, wait_until

ROOT = Path(settings.BASE_DIR)
DEPLOY = ROOT / "deploy"
SMALL = {"postgres", "valkey", "roles", "migrate", "web", "scheduler", "wal", "agent"}
ONCE = {"roles", "migrate"}
PROXY = {"web-1", "web-2", "proxy"}
WATCHERS = {"prometheus", "alertmanager", "loki", "alloy", "grafana"}
DAYS = {"d": 1, "h": 1 / 24}

needs_compose = pytest.mark.skipif(shutil.which("docker-compose") is None, reason="needs docker-compose")


@cache
def composed(*profiles: str) -> dict[str, Any]:
    """The whole file as Compose understands it."""
    named = [word for profile in profiles for word in ("--profile", profile)]
    done = subprocess.run(
        ["docker-compose", *named, "config"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = yaml.safe_load(done.stdout)
    return found


def chosen(*profiles: str) -> set[str]:
    """The services that a start with these profiles starts; `config` of Compose 1 lists all of them."""
    found = composed(*profiles)["services"].items()
    return {name for name, each in found if "profiles" not in each or {*each["profiles"]} & {*profiles}}


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = composed("full")["services"]
    return found


def days(text: str) -> float:
    return int(text[:-1]) * DAYS[text[-1]]


def default_of(text: str) -> str:
    """What Compose puts in for `${NAME:-default}` where nobody says another."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


@needs_compose
def test_small_is_as_it_was_and_full_adds_proxy_and_watchers() -> None:
    assert chosen() == SMALL
    assert chosen("proxy") == SMALL | PROXY
    assert chosen("full") == SMALL | PROXY | WATCHERS


@needs_compose
def test_every_service_has_limits_rotated_logs_and_comes_back() -> None:
    for name, service in services().items():
        assert {"mem_limit", "pids_limit", "cpus"} <= service.keys(), name
        assert float(service["cpus"]) <= 1, name  # Docker refuses more processors than the machine has
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped"), name
        assert service["logging"]["options"].keys() >= {"max-size", "max-file"}, name
        assert ":" in service["image"] or service["image"] == "kutanga-hub", name
        assert not service["image"].endswith(":latest"), name


def test_what_this_machine_has_made_does_not_come_into_the_image() -> None:
    """What git leaves out, secrets and built documentation among it, the image leaves out as well."""
    made = {
        line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines() if line and not line.startswith("#")
    }
    left_out = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    patterns = [line.removeprefix("**/") for line in left_out]

    assert {name for name in made if not any(fnmatch(name, each) or name == each for each in patterns)} == set()
    assert {".git", ".env*", "secrets", "certificates"} <= {*left_out}


def test_every_image_can_be_named_by_its_digest() -> None:
    plain = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = {*re.findall(r" AS (\w+)$", dockerfile, re.MULTILINE)}

    assert {*re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)} - stages == {"${BASE_IMAGE}"}
    for name, service in plain["services"].items():
        assert re.fullmatch(r"\$\{\w+_IMAGE:-[^}]+\}", service["image"]), name


@needs_compose
def test_watchers_have_no_right_and_no_part_but_the_agent_sees_the_engine() -> None:
    for name, service in services().items():
        mounted = [volume.split(":")[0] for volume in service.get("volumes", ())]
        assert ("/var/run/docker.sock" in mounted) == (name == "agent"), name
    for name in WATCHERS:
        service = services()[name]
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"user", "cpus", "healthcheck"} <= service.keys(), name
        assert service["user"].startswith("0:") == (name == "alloy"), name  # Docker's files of lines are root's


@needs_compose
def test_no_service_has_rights_that_it_does_not_name() -> None:
    """Docker would give fourteen capabilities to whoever says nothing."""
    changes_user = {"CHOWN", "SETGID", "SETUID"}
    named = {name: {*service["cap_add"]} for name, service in services().items() if "cap_add" in service}

    assert {name for name, service in services().items() if service.get("cap_drop") != ["ALL"]} == set()
    assert {*named} == {"postgres", "valkey", "agent"}
    assert named["valkey"] == changes_user
    assert named["postgres"] == changes_user | {"DAC_OVERRIDE", "FOWNER"}
    for name, service in services().items():
        assert service["security_opt"] == ["no-new-privileges:true"], name


@needs_compose
def test_networks_keep_apart_who_has_no_business_with_each_other() -> None:
    networks = {name: {*service.get("networks", ())} for name, service in services().items()}

    assert composed("full")["networks"]["watch"] == {"internal": True}
    for name in ("postgres", "valkey", "roles", "migrate", "wal"):
        assert services()[name]["network_mode"] == "none", name
    assert networks["prometheus"] == networks["loki"] == networks["alloy"] == {"watch"}
    assert {name for name, joined in networks.items() if "watch" in joined} == WATCHERS | {"web", "web-1", "web-2"}
    assert networks["proxy"] == {"edge"}
    assert {name for name, service in services().items() if "ports" in service} == {"web", "proxy", "grafana"}
    assert services()["grafana"]["ports"] == ["127.0.0.1:3000:3000/tcp"]


@needs_compose
def test_parts_start_when_what_they_need_is_well() -> None:
    def needed(name: str) -> dict[str, str]:
        return {other: how["condition"] for other, how in services()[name].get("depends_on", {}).items()}

    for name in ("web", "web-1", "web-2", "scheduler", "agent"):
        assert needed(name)["migrate"] == "service_completed_successfully", name
    for name in ("migrate", "wal"):
        assert needed(name) == {"roles": "service_completed_successfully"}
    assert needed("prometheus") == {"web": "service_healthy", "alertmanager": "service_healthy"}
    assert needed("grafana") == {"prometheus": "service_healthy", "loki": "service_healthy"}
    assert needed("alloy") == {"loki": "service_healthy"}
    for name in services():
        for other, condition in needed(name).items():
            assert condition != "service_healthy" or "healthcheck" in services()[other], other


def test_secrets_are_files_and_nothing_else_d85(tmp_path: Path) -> None:
    """D85: the seed's default password of Grafana stood in its manifest."""
    text = (ROOT / "docker-compose.yml").read_text()
    plain = yaml.safe_load(text)
    subprocess.run([DEPLOY / "compose" / "secrets", tmp_path / "secrets"], check=True, capture_output=True)

    assert {path.name for path in (tmp_path / "secrets").iterdir()} == plain["secrets"].keys()
    assert all(each["file"].startswith("${HUB_SECRETS:-./secrets}/") for each in plain["secrets"].values())
    for name, service in plain["services"].items():
        for variable, value in service.get("environment", {}).items():
            is_secret = re.search(r"PASSWORD|TOKEN|SECRET|KEY", variable) and not variable.endswith("_FILE")
            # The one that may be given: who makes the first admin is the agent.
            assert not is_secret or (name, value) == ("agent", "${HUB_ADMIN_PASSWORD:-}"), f"{name} {variable}"
        files = {default_of(value) for value in service.get("environment", {}).values() if "/run/secrets/" in value}
        assert files <= {f"/run/secrets/{each}" for each in service.get("secrets", ())}, name
    grafana = plain["services"]["grafana"]["environment"]
    assert grafana["GF_SECURITY_ADMIN_PASSWORD__FILE"] == "/run/secrets/grafana_password"
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


def test_metrics_and_logs_are_kept_on_volumes_for_more_than_15_days_d84_d86() -> None:
    """D84: nothing was kept. D86: deletion was off, the oldest line accepted was the only period, nothing was kept."""
    plain = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    flags = dict(flag.lstrip("-").split("=", 1) for flag in plain["services"]["prometheus"]["command"])
    loki = yaml.safe_load((DEPLOY / "loki" / "loki.yml").read_text())

    assert days(default_of(flags["storage.tsdb.retention.time"])) >= 15
    assert days(loki["limits_config"]["retention_period"]) >= 15
    assert loki["compactor"]["retention_enabled"] is True
    assert loki["compactor"]["delete_request_store"] == loki["schema_config"]["configs"][0]["object_store"]
    for name, place in {"prometheus": "/prometheus", "loki": "/loki", "grafana": "/var/lib/grafana"}.items():
        assert f"{name}:{place}" in plain["services"][name]["volumes"]
        assert name in plain["volumes"]
    assert loki["common"]["path_prefix"] == "/loki"


def test_alloy_reads_the_files_that_are_mounted_d86() -> None:
    """D86: the seed's collector had no path and so collected nothing."""
    plain = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    text = (DEPLOY / "alloy" / "config.alloy").read_text()
    mounted = [volume.rsplit(":", 2)[1] for volume in plain["services"]["alloy"]["volumes"]]
    tag = plain["x-logging"]["options"]["tag"]

    (path,) = re.findall(r'"__path__" = "([^"]+)"', text)
    assert path == "/var/lib/docker/containers/*/*-json.log"
    assert str(Path(path).parent.parent) in mounted
    assert plain["x-logging"]["driver"] == "json-file"
    (selector,) = re.findall(r'tag!~"([^"]+)"', text)
    assert re.fullmatch(selector, tag.replace("{{.Name}}", "hub_web_1"))
    assert not re.fullmatch(selector, "")  # another container's
    assert re.findall(r'url = "http://([^"/]+)', text) == ["loki:3100"]
    named = re.findall(r'^([a-z.]+) "(\w+)" {', text, re.MULTILINE)
    receivers = re.findall(r"(loki\.\w+)\.(\w+)\.receiver", text)
    assert {*receivers} <= {*named}
    assert (text.count("{"), text.count("[")) == (text.count("}"), text.count("]"))


def test_grafana_finds_its_dashboards_and_asks_services_that_are_there() -> None:
    plain = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    home = plain["services"]["grafana"]["environment"]["GF_PATHS_PROVISIONING"]
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/hub.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/hub.yml").read_text())["providers"]

    assert f"./deploy/grafana:{provider['options']['path']}:ro" in plain["services"]["grafana"]["volumes"]
    assert home == f"{provider['options']['path']}/provisioning"
    assert list((DEPLOY / "grafana").glob("*.json"))
    assert {re.sub(r"http://|:\d+", "", source["url"]) for source in sources} <= plain["services"].keys()
    assert [source["name"] for source in sources if source.get("isDefault")] == ["Prometheus"]


def test_prometheus_scrapes_services_that_are_there_and_is_let_in_d84() -> None:
    """D84: in the seed each looked for the other in a namespace where it was not, and the backend told nothing."""
    plain = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    targets = {
        target.split(":")[0]
        for job in config["scrape_configs"]
        for each in job["static_configs"]
        for target in each["targets"]
    }
    (hub,) = (job for job in config["scrape_configs"] if job["job_name"] == "hub")
    asked = {target.split(":")[0] for target in hub["static_configs"][0]["targets"]}

    assert targets - {"localhost"} <= plain["services"].keys()
    assert asked <= {*plain["x-hub"]["environment"]["HUB_HOSTS"].split(",")}
    assert hub["authorization"]["credentials_file"] == plain["x-hub"]["environment"]["HUB_METRICS_TOKEN_FILE"]
    assert config["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


@needs_compose
def test_every_lasting_service_is_asked_how_it_is_and_by_what_can_tell() -> None:
    checks = {name: service.get("healthcheck", {}) for name, service in services().items()}

    assert {name for name, check in checks.items() if check.get("test", ["NONE"]) == ["NONE"]} == ONCE
    for name, seconds in {"scheduler": "60", "agent": "300"}.items():
        assert checks[name]["test"] == ["CMD", "python", "-m", "hub.alive", seconds]
        assert services()[name]["environment"]["HUB_ALIVE"] == "/tmp/alive"
    assert "HUB_ALIVE" not in services()["web"]["environment"]
    assert checks["web"]["test"] == ["CMD", "python", "-m", "hub.alive"]
    assert 'CMD ["python", "-m", "hub.alive"]' in (ROOT / "Dockerfile").read_text()


@needs_compose
def test_each_part_logs_in_as_who_may_no_more_than_it_needs() -> None:
    """The administrator of the database is for making the roles; the web, which strangers talk with, has least."""

    def read_by(secret: str) -> set[str]:
        return {
            name
            for name, service in services().items()
            for each in service.get("secrets", ())
            if name_of(each) == secret
        }

    def name_of(secret: Any) -> str:
        return str(secret["source"] if isinstance(secret, dict) else secret)

    def database(name: str) -> str:
        return str(services()[name]["environment"]["DATABASE_URL_FILE"]).rpartition("/")[2]

    webs = {"web", "web-1", "web-2"}
    assert read_by("database_url") == {"roles"}
    assert read_by("database_password") == {"postgres"}
    assert read_by("owner_database_url") == {"roles", "migrate", "scheduler", "agent"}
    assert read_by("backup_database_url") == {"roles", "scheduler", "wal"}
    assert read_by("backup_passphrase") == {"scheduler"}
    assert read_by("redis_agent_url") == {"scheduler", "agent"}
    assert read_by("valkey_acl") == {"valkey"}
    assert {name: database(name) for name in webs} == dict.fromkeys(webs, "web_database_url")
    assert database("wal") == "backup_database_url"
    assert services()["scheduler"]["environment"]["HUB_BACKUP_DATABASE_URL_FILE"] == "/run/secrets/backup_database_url"


def test_proxy_sends_the_files_that_the_hub_leaves_to_it_and_keeps_little_in_memory() -> None:
    plain = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    proxy, web = plain["proxy"]["environment"], plain["web-1"]["environment"]
    text = (DEPLOY / "nginx" / "hub.conf.template").read_text()
    inner = dict(re.findall(r"location (/\S+) \{\n +internal;\n +alias \$\{(\w+)\}/;", text))

    assert {place: proxy[name] for place, name in inner.items()} == {
        web["HUB_BUNDLE_ACCEL"]: "/data/bundles",
        web["HUB_CHALLENGE_FILE_ACCEL"]: "/data/challenge-files",
    }
    assert (
        not {"HUB_BUNDLE_ACCEL", "HUB_CHALLENGE_FILE_ACCEL"} & plain["web"]["environment"].keys()
    )  # nothing before it
    # What nginx keeps aside is memory in its container, whose limit ends it.
    assert "/var/cache/nginx" in plain["proxy"]["tmpfs"]
    assert "proxy_max_temp_file_size 8m;" in text


def test_databases_are_made_so_that_the_hubs_image_can_read_a_backup_of_them() -> None:
    """PostgreSQL's image makes them with en_US.utf8 unless it is told; a server without that locale lets nobody in."""
    made = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["postgres"]["environment"]
    embedded = (ROOT / "hub/launcher/embedded.py").read_text()
    dockerfile = (ROOT / "Dockerfile").read_text()

    for word in ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"):
        assert word in made["POSTGRES_INITDB_ARGS"].split()
        assert f'"{word}"' in embedded
    assert "--encoding=UTF8" in made["POSTGRES_INITDB_ARGS"].split()
    assert "localedef --no-archive --inputfile=en_US --charmap=UTF-8 /usr/lib/locale/en_US.utf8" in dockerfile
    assert "COPY --from=packages /usr/lib/locale/en_US.utf8 /usr/lib/locale/en_US.utf8" in dockerfile


@pytest.mark.parametrize(("first", "is_well"), [("postgres", True), ("docker-entrypoi", False)])
def test_database_that_is_still_being_made_is_not_well(first: str, is_well: bool, tmp_path: Path) -> None:
    """Its entrypoint is the first process then, and the server that answers ends again."""
    (kind, text) = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["postgres"]["healthcheck"][
        "test"
    ]
    (tmp_path / "comm").write_text(f"{first}\n")
    (tmp_path / "pg_isready").write_text("#!/bin/sh\nexit 0\n")
    (tmp_path / "pg_isready").chmod(0o755)
    command = text.replace("$$", "$").replace("/proc/1/comm", str(tmp_path / "comm"))

    done = subprocess.run(["sh", "-c", command], env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, check=False, timeout=120)

    assert kind == "CMD-SHELL"
    assert (done.returncode == 0) is is_well


FAKE_DOCKER = """#!/bin/sh
echo "$*" | tr '\\n' ' ' >>"$TOLD"
echo >>"$TOLD"
case "$*" in
  *"ps --services"*) printf '%s\\n' postgres valkey wal web scheduler agent ;;
  *"ps --all --quiet"*) echo "id-$5" ;;
  *" run --rm --no-deps "*) exit "${RECOVERY:-0}" ;;
  "run "*) exit "${PLACES:-0}" ;;
esac
"""


def recover(there: Path, *words: str, **outcome: str) -> tuple[int, list[str]]:
    """Run `recover` with a docker that writes down what it is told: exit code, and what changes things."""
    (there / "docker").write_text(FAKE_DOCKER)
    (there / "docker").chmod(0o755)
    told = there / "told"
    done = subprocess.run(
        [DEPLOY / "compose" / "recover", *words],
        env={"PATH": f"{there}:/usr/bin:/bin", "TOLD": str(told), **outcome},
        input="no\n",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    lines = told.read_text().splitlines() if told.exists() else []
    changes = [each for each in lines if not re.search(r" ps | version|^inspect", each)]
    return done.returncode, [each.removeprefix("compose ").rstrip() for each in changes]


STOPPED = ["stop valkey web scheduler agent", "stop postgres", "stop wal"]
STARTED = "up --detach postgres valkey wal web scheduler agent"


def test_compose_is_brought_back_beside_what_runs_and_the_last_write_is_waited_for(tmp_path: Path) -> None:
    code, told = recover(tmp_path, "pitr", "2026-11-29", "12:34:56", "--yes")
    assert code == 0
    assert told[0].startswith(
        "run --rm --no-deps -T scheduler python manage.py pitr 2026-11-29 12:34:56 --into /data/recovered-"
    )
    assert told[1:4] == STOPPED
    # Both have /data where the image declares it; that of the last one named counts.
    assert "--volumes-from id-postgres --volumes-from id-scheduler" in told[4]
    assert told[5:] == [STARTED]

    (tmp_path / "told").unlink()
    code, told = recover(tmp_path, "restore", "latest", "--store", "--yes")
    assert code == 0
    assert told[:3] == STOPPED
    assert "manage.py restore latest --store --into" in told[3]


@pytest.mark.parametrize("outcome", [{"RECOVERY": "1"}, {"PLACES": "1"}])
def test_compose_that_is_not_brought_back_runs_again_as_it_was(outcome: dict[str, str], tmp_path: Path) -> None:
    code, told = recover(tmp_path, "restore", "latest", "--yes", **outcome)

    assert code == 1
    assert told[:3] == STOPPED
    assert told[-1] == STARTED
    assert any(each.startswith("run --rm --network none") for each in told) == ("PLACES" in outcome)


@pytest.mark.parametrize(
    "words", [(), ("restore",), ("backup", "now"), ("restore", "files"), ("restore", "hub-1.dump")]
)
def test_compose_is_not_touched_by_words_that_bring_nothing_back(words: tuple[str, ...], tmp_path: Path) -> None:
    assert recover(tmp_path, *words) == (2, [])


def test_compose_is_brought_back_after_a_yes_only(tmp_path: Path) -> None:
    assert recover(tmp_path, "restore", "latest") == (1, [])


FORBIDDEN = ("FLUSHALL", "CONFIG GET *", "KEYS *", "ACL LIST", "MONITOR", "SHUTDOWN", "CLIENT KILL TYPE normal")


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A real one with the users that Compose's has: addresses by user."""
    subprocess.run([DEPLOY / "compose" / "secrets", tmp_path / "secrets"], check=True, capture_output=True)
    command = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["valkey"]["command"]
    place = tempfile.mkdtemp()  # a socket's path is short
    words = [word.replace("/run/secrets", f"{tmp_path}/secrets").replace("/data/", f"{place}/") for word in command[1:]]
    program = str(find_binaries(Path(sys.prefix)).valkey)
    process = subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, preexec_fn=follow_parent(9))
    told = {name: (tmp_path / "secrets" / f"redis_{name}_url").read_text() for name in ("web", "agent")}
    told["nobody"] = "unix:///run/valkey/valkey.sock?db=0"
    told["health"] = "unix://health:any@/run/valkey/valkey.sock?db=0"
    try:
        wait_until(Path(place, "valkey.sock").exists, what="Valkey")
        yield {name: address.replace("/run/valkey", place) for name, address in told.items()}
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(place)


def test_users_of_valkey_do_their_work_and_no_more(valkey: dict[str, str]) -> None:
    web, agent = (redis.Redis.from_url(valkey[name]) for name in ("web", "agent"))
    cache = PatientRedisCache(valkey["web"], {"KEY_PREFIX": "hub"})

    job = rq.Queue("node:local", connection=web, serializer=JSONSerializer).enqueue("math.sqrt", 4, result_ttl=60)
    rq.SimpleWorker(["node:local"], connection=agent, serializer=JSONSerializer).work(burst=True)
    cache.set("a", 1)

    assert job.get_status(refresh=True) == "finished"
    assert (cache.incr("a"), cache.get_many(["a"]), cache.delete("a")) == (2, {"a": 2}, True)
    assert redis.Redis.from_url(valkey["health"]).ping()
    for user, words in (
        *((user, words) for user in (web, agent) for words in (["FLUSHALL"], ["CONFIG", "GET", "*"], ["KEYS", "*"])),
        *(
            (user, words)
            for user in (web, agent)
            for words in (["ACL", "LIST"], ["MONITOR"], ["SHUTDOWN"], ["CLIENT", "KILL", "TYPE", "normal"])
        ),
        (web, ["BLPOP", "rq:queue:node:local", "1"]),
        (redis.Redis.from_url(valkey["health"]), ["GET", "a"]),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            user.execute_command(*words)
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis.from_url(valkey["nobody"]).ping()


class Channels(BaseHTTPRequestHandler):
    """Stands in for Slack and PagerDuty: keeps what is sent to either."""

    sent: list[tuple[str, str]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.sent.append((self.path, body))
        self.send_response(202 if "pager" in self.path else 200)
        self.end_headers()
        self.wfile.write(b'{"status": "success", "dedup_key": "1"}' if "pager" in self.path else b"ok")

    def log_message(self, format: str, *words: object) -> None:
        """Say nothing."""


@contextmanager
def channels() -> Iterator[str]:
    Channels.sent = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Channels)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def with_secrets(directory: Path, name: str) -> dict[str, Any]:
    """A file of deploy/prometheus, whose secrets lie below the directory."""
    text = (DEPLOY / "prometheus" / name).read_text().replace("/run/secrets", str(directory / "secrets"))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


@contextmanager
def alertmanager(directory: Path, channel: str) -> Iterator[str]:
    """A real one with our file and Compose's flags, whose only change are the channels' addresses and shorter waits."""
    for name, value in {"slack_url": f"{channel}/slack", "pagerduty_key": "k" * 32}.items():
        (directory / "secrets" / name).unlink()
        (directory / "secrets" / name).write_text(value)
    config = with_secrets(directory, "alertmanager.yml")
    config["global"] = {"pagerduty_url": f"{channel}/pager"}
    config["route"]["group_wait"] = "500ms"
    (directory / "alertmanager.yml").write_text(yaml.safe_dump(config))
    flags = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["alertmanager"]["command"]
    places = {"/etc/alertmanager": str(directory), "/alertmanager": str(directory / "kept")}
    for place, ours in places.items():
        flags = [re.sub(f"={place}(?=/|$)", f"={ours}", flag) for flag in flags]
    address = f"127.0.0.1:{free_port()}"
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(shutil.which("prometheus-alertmanager")), *flags, f"--web.listen-address={address}"],
            stdout=log,
            stderr=log,
            preexec_fn=follow_parent(9),
        )
    try:
        yield f"http://{address}"
    finally:
        process.kill()
        process.wait()


@pytest.mark.prometheus
def test_prometheus_takes_the_settings_with_all_files_they_name(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY / "prometheus", tmp_path, dirs_exist_ok=True)
    subprocess.run([DEPLOY / "compose" / "secrets", tmp_path / "secrets"], check=True, capture_output=True)
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(with_secrets(tmp_path, "prometheus.yml")))

    done = subprocess.run(
        ["promtool", "check", "config", "prometheus.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 rule files found" in done.stdout


@pytest.mark.prometheus
@pytest.mark.slow
def test_alertmanager_tells_the_channels_and_a_critical_one_silences_the_rest(tmp_path: Path) -> None:
    subprocess.run([DEPLOY / "compose" / "secrets", tmp_path / "secrets"], check=True, capture_output=True)

    with channels() as channel, alertmanager(tmp_path, channel) as address:
        amtool = ["amtool", f"--alertmanager.url={address}", "alert"]

        def add(*labels: str) -> bool:
            done = subprocess.run([*amtool, "add", *labels], capture_output=True, check=False)
            return done.returncode == 0

        wait_until(lambda: add("alertname=AgentDown", "severity=critical", "node=a"), what="Alertmanager")
        assert add("alertname=PoolAlmostFull", "severity=warning", "node=a")
        assert add("alertname=PoolAlmostFull", "severity=warning", "node=b")
        wait_until(lambda: len(Channels.sent) >= 3, pause=0.1, what="messages")
        told = subprocess.run(
            [*amtool, "query", "--inhibited", "-o", "json"], capture_output=True, text=True, check=True
        )

    inhibited = [each["labels"] for each in json.loads(told.stdout) if each["status"]["inhibitedBy"]]
    assert [(each["alertname"], each["node"]) for each in inhibited] == [("PoolAlmostFull", "a")]
    slack = [json.loads(body) for path, body in Channels.sent if path == "/slack"]
    assert sorted(each["channel"] for each in slack) == ["#hub", "#hub-critical"]
    assert [path for path, _ in Channels.sent].count("/pager") == 1
