"""The manifests that carry the hub itself: valid for a strict reader, without the faults of the seed (D71–D80)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve

from hub.engines.kubernetes import names
from hub.nodes import bootstrap
from hub.nodes.choices import EngineKind
from hub.settings import env

KUBERNETES = Path(settings.BASE_DIR) / "deploy" / "kubernetes"
SETS = ("base", "k3s", "cloud")
VERSIONS = ("1.33", "1.37")  # what the engine was measured on, and the newest whose schema there is
FOREIGN = ("cert-manager.io/", "external-secrets.io/", "monitoring.coreos.com/", "traefik.io/")
PATCHES = ("ingress.yaml", "policies.yaml", "storage.yaml")  # of the sets beside the base


pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl, which builds the sets")


@cache
def built(name: str) -> list[dict[str, Any]]:
    """A set as kustomize makes it, whether the newest or the one in Debian's kubectl."""
    command = ["kubectl", "kustomize", str(KUBERNETES / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def found(name: str, kind: str) -> dict[str, dict[str, Any]]:
    """The objects of a kind in a set that was built, by their names."""
    return {each["metadata"]["name"]: each for each in built(name) if each["kind"] == kind}


def documents(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a set with its file, as it is written."""
    for path in sorted((KUBERNETES / name).glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


def base(kind: str) -> list[dict[str, Any]]:
    return list(found("base", kind).values())


def pods() -> dict[str, dict[str, Any]]:
    """The specification of every pod by the name of what makes it."""
    found = [*base("Deployment"), *base("Job")]
    return {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in found}


def containers() -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{name}/{container['name']}", container)
        for name, pod in pods().items()
        for container in [*pod.get("initContainers", ()), *pod["containers"]]
    ]


def validate(document: dict[str, Any]) -> None:
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_what_kustomize_builds_is_valid(name: str) -> None:
    for document in built(name):
        if not document["apiVersion"].startswith(FOREIGN):
            validate(document)


def test_what_is_applied_before_them_is_valid() -> None:
    made = list(yaml.safe_load_all((KUBERNETES / "challenge-manager.yaml").read_text()))

    assert [each["kind"] for each in made][-3:] == ["Secret", "ClusterRole", "ClusterRoleBinding"]
    for document in made:
        validate(document)


@pytest.mark.parametrize("name", SETS)
def test_everything_but_what_belongs_to_the_cluster_is_in_the_hubs_namespace(name: str) -> None:
    for document in built(name):
        is_the_clusters = document["kind"] in ("Namespace", "ClusterIssuer", "StorageClass")
        named = document["metadata"].get("namespace")
        assert named == (None if is_the_clusters else "kutanga-hub"), document["metadata"]["name"]


@pytest.mark.parametrize("name", SETS)
def test_kustomizations_name_every_file_and_no_other(name: str) -> None:
    listed = yaml.safe_load((KUBERNETES / name / "kustomization.yaml").read_text())
    named = {*listed["resources"], *listed.get("patchesStrategicMerge", ())}

    assert named == {path.name for path in (KUBERNETES / name).glob("*.yaml")} - {"kustomization.yaml"}
    assert {*listed.get("patchesStrategicMerge", ())} == (set() if name == "base" else {*PATCHES})


@pytest.mark.parametrize("name", SETS)
def test_a_changed_setting_reaches_the_pods(name: str) -> None:
    """By the hash in the settings' name: a ConfigMap that changes under its name is read by new pods only."""
    settings_of = found(name, "ConfigMap")
    named = {
        source["configMapRef"]["name"]
        for kind in ("Deployment", "Job")
        for each in found(name, kind).values()
        for container in [
            *each["spec"]["template"]["spec"].get("initContainers", ()),
            *each["spec"]["template"]["spec"]["containers"],
        ]
        for source in container["envFrom"]
    }

    assert named == settings_of.keys()
    assert all(re.fullmatch(r"hub-(backup-)?config-[a-z0-9]{10}", each) for each in named)


def test_files_outlive_pods_and_are_the_same_for_all_of_them() -> None:
    """An upload arrives in pieces at whichever web pod; bundles, challenges' files and backups were lost with a pod."""
    for name, pod in pods().items():
        volumes = {each["name"]: each for each in pod["volumes"]}
        assert volumes["data"]["persistentVolumeClaim"] == {"claimName": "hub-data"}, name
        assert ("backups" in volumes) == (name == "hub-scheduler"), name
    for name in SETS:
        claims = found(name, "PersistentVolumeClaim")
        assert claims.keys() == {"hub-data", "hub-backups"}
        assert all(each["spec"]["accessModes"] == ["ReadWriteMany"] for each in claims.values())


def test_backups_are_the_schedulers_and_their_keys_nobody_elses() -> None:
    for name, container in containers():
        is_theirs = name == "hub-scheduler/scheduler"
        sources = [each["configMapRef"]["name"] for each in container["envFrom"]]
        assert any(each.startswith("hub-backup-config") for each in sources) == is_theirs, name
        mounted = {each["mountPath"] for each in container["volumeMounts"]}
        assert ({"/backups", "/run/secrets/backup"} <= mounted) == is_theirs, name
        assert not mounted & {"/backups", "/run/secrets/backup"} or is_theirs, name


def test_wal_is_received_where_the_server_is_ones_own_into_the_same_directory() -> None:
    (settings_of,) = (each for name, each in found("k3s", "ConfigMap").items() if name.startswith("hub-backup-config"))
    wal = found("k3s", "Deployment")["hub-wal"]["spec"]
    (container,) = wal["template"]["spec"]["containers"]
    mounts = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"]
        for each in wal["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    }

    assert container["args"] == ["python", "manage.py", "receive_wal"]
    assert (wal["replicas"], wal["strategy"]["type"]) == (1, "Recreate")
    assert claims[mounts[settings_of["data"]["HUB_BACKUPS"]]] == "hub-backups"
    assert settings_of["data"]["HUB_BACKUP_DATABASE_URL_FILE"].startswith("/run/secrets/backup/")
    assert container["securityContext"] == containers()[0][1]["securityContext"]
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert "hub-wal" not in found("cloud", "Deployment")


def test_scheduler_and_agent_are_asked_whether_their_own_loop_goes_round() -> None:
    for name, container in containers():
        asked = container.get("livenessProbe", {}).get("exec", {}).get("command", ())
        assert (asked[:3] == ["python", "-m", "hub.alive"]) == (name in ("hub-scheduler/scheduler", "hub-agent/agent"))
    (data,) = (each["data"] for name, each in found("base", "ConfigMap").items() if name.startswith("hub-config"))
    assert data["HUB_ALIVE"] == "/tmp/alive"  # which is the pod's own


def test_rules_of_the_operator_are_those_of_compose() -> None:
    made = subprocess.run([KUBERNETES / "rules"], capture_output=True, text=True, check=True).stdout
    prometheus = KUBERNETES.parent / "prometheus"

    assert (KUBERNETES / "cloud" / "rules.yaml").read_text() == made, "run deploy/kubernetes/rules"
    told = [each["spec"] for each in found("cloud", "PrometheusRule").values()]
    read = [yaml.safe_load((prometheus / f"{name}.rules.yml").read_text()) for name in ("hub", "kubernetes")]
    assert sorted(told, key=str) == sorted(read, key=str)


def test_traefik_limits_and_leads_plain_http_over_to_tls() -> None:
    """D74: in the seed a second ingress without TLS served the same pages."""
    prefix = "traefik.ingress.kubernetes.io/"
    whole = {name: each["metadata"]["annotations"] for name, each in found("k3s", "Ingress").items()}
    middlewares = found("k3s", "Middleware")

    assert whole["hub"][f"{prefix}router.entrypoints"] == "websecure"
    assert whole["hub-plain"][f"{prefix}router.entrypoints"] == "web"
    named = {name: each[f"{prefix}router.middlewares"].split(",") for name, each in whole.items()}
    assert named == {
        "hub": ["kutanga-hub-rate@kubernetescrd", "kutanga-hub-connections@kubernetescrd"],
        "hub-plain": ["kutanga-hub-https@kubernetescrd"],
    }
    assert middlewares["https"]["spec"]["redirectScheme"] == {"scheme": "https", "permanent": True}
    assert middlewares["rate"]["spec"]["rateLimit"]["average"] == 50
    assert middlewares["connections"]["spec"]["inFlightReq"]["amount"] == 100


def test_agent_reaches_the_workloads_of_its_cluster() -> None:
    allowed = found("base", "NetworkPolicy")["agent-to-workloads"]["spec"]
    ((peer,),) = ([*rule["to"]] for rule in allowed["egress"])

    assert allowed["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "hub-agent"}
    assert peer == {"namespaceSelector": {"matchExpressions": [{"key": names.LABEL_HUB, "operator": "Exists"}]}}
    assert not any("ports" in rule for rule in allowed["egress"])  # a game's ports are its template's


def test_agents_node_is_the_one_that_is_made_first() -> None:
    (agent,) = pods()["hub-agent"]["containers"]
    (data,) = (each["data"] for name, each in found("base", "ConfigMap").items() if name.startswith("hub-config"))

    assert agent["args"][-2:] == ["--node", bootstrap.CLUSTER_NODE]
    assert data["HUB_LOCAL_ENGINE"] == EngineKind.KUBERNETES


def test_databases_take_the_hub_and_exporters_only_and_ask_for_names_only_d80() -> None:
    text = (KUBERNETES / "database-policies.yaml").read_text()
    namespace, policy = yaml.safe_load_all(text)
    validate(policy)
    own = {"podSelector": {}}

    label = found("base", "NetworkPolicy")["databases"]["spec"]["egress"][0]["to"][0]["namespaceSelector"]
    assert label["matchLabels"].items() <= namespace["metadata"]["labels"].items()
    hub, exporters, each_other = policy["spec"]["ingress"]
    assert hub["from"][0]["podSelector"]["matchLabels"] == {"app.kubernetes.io/part-of": "kutanga-hub"}
    assert {each["port"] for each in hub["ports"]} == {5432, 6379}
    assert {each["port"] for each in exporters["ports"]} == {9187, 9121}
    assert each_other == {"from": [own]}
    assert policy["spec"]["egress"][0] == {"to": [own]}
    assert {each["port"] for each in policy["spec"]["egress"][1]["ports"]} == {53}


def test_pods_run_under_the_restricted_standard() -> None:
    (namespace,) = base("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for name, pod in pods().items():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
    for name, container in containers():
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False, name
        assert context["capabilities"] == {"drop": ["ALL"]}, name
        assert context["readOnlyRootFilesystem"] is True, name
        assert set(container["resources"]["limits"]) == {"cpu", "memory"}, name


def test_only_the_agent_has_a_token_of_the_cluster() -> None:
    with_token = {name for name, pod in pods().items() if pod["automountServiceAccountToken"]}

    assert with_token == {"hub-agent"}


def test_web_is_replaced_one_by_one_and_asked_what_it_can_answer_d71() -> None:
    (web,) = (each for each in base("Deployment") if each["metadata"]["name"] == "hub-web")
    container = web["spec"]["template"]["spec"]["containers"][0]

    assert web["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert "replicas" not in web["spec"]  # the autoscaler's
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        assert resolve(container[probe]["httpGet"]["path"])
    assert {"name": "HUB_HOSTS", "value": "hub-web,$(POD_IP)"} in container["env"]


def test_drain_ends_before_the_grace_does() -> None:
    pod = pods()["hub-web"]
    command = pod["containers"][0]["args"]
    rest = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])

    assert rest + int(command[command.index("--graceful-timeout") + 1]) < pod["terminationGracePeriodSeconds"]


def test_autoscaler_has_the_seeds_windows_d73() -> None:
    (scaler,) = base("HorizontalPodAutoscaler")
    spec = scaler["spec"]
    targets = {
        metric["resource"]["name"]: metric["resource"]["target"]["averageUtilization"] for metric in spec["metrics"]
    }

    assert (spec["minReplicas"], spec["maxReplicas"], targets) == (3, 10, {"cpu": 70, "memory": 80})
    assert spec["behavior"]["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert spec["behavior"]["scaleDown"]["stabilizationWindowSeconds"] == 300


def test_one_ingress_and_it_has_tls_d74() -> None:
    (ingress,) = base("Ingress")

    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    assert hosts == {host for entry in ingress["spec"]["tls"] for host in entry["hosts"]}


def test_everything_is_denied_and_then_what_is_needed_allowed_d75() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in base("NetworkPolicy")}
    parts = {each["metadata"]["name"] for each in base("Deployment")} | {"hub-migrate"}

    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = policies["web-ingress"]["ingress"][0]
    assert {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in allowed["from"]} == {
        "ingress-nginx",
        "monitoring",
    }
    for name, spec in policies.items():
        assert not any("to" in rule for rule in spec.get("ingress", ())), name
        label = spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        assert label in {None, *parts}, name
    ports = {port["port"] for rule in policies["databases"]["egress"] for port in rule["ports"]}
    assert ports == {5432, 6379}


def test_pods_that_prove_the_host_name_are_reached_where_everything_is_denied() -> None:
    """cert-manager makes them beside the certificate, and Let's Encrypt asks them through the ingress (port 8089)."""
    spec = found("cloud", "NetworkPolicy")["certificate-solver"]["spec"]
    issuers = found("cloud", "ClusterIssuer").values()
    (rule,) = spec["ingress"]

    assert all("http01" in solver for each in issuers for solver in each["spec"]["acme"]["solvers"])
    assert spec["podSelector"] == {"matchLabels": {"acme.cert-manager.io/http01-solver": "true"}}
    assert spec["policyTypes"] == ["Ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": 8089}]
    assert rule["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress-nginx"}}}]


def test_no_role_reads_secrets_and_no_secret_is_in_a_manifest_d76() -> None:
    kinds = {document["kind"] for name in SETS for _, document in documents(name)}

    assert not kinds & {"Secret", "Role", "ClusterRole"}


def test_secrets_come_as_files_of_names_that_the_hub_reads() -> None:
    config = {key: value for each in found("cloud", "ConfigMap").values() for key, value in each["data"].items()}
    files = {name: path for name, path in config.items() if name.endswith("_FILE")}
    external = found("cloud", "ExternalSecret")

    assert {name.removesuffix("_FILE") for name in config} <= {*env.declared}
    given = {
        (place, entry["secretKey"])
        for place, name in (("hub", "hub-secrets"), ("backup", "hub-backup-secrets"))
        for entry in external[name]["spec"]["data"]
    }
    read = {(path.split("/")[3], path.split("/")[4]) for path in files.values()}
    assert read | {("hub", "web-database-url")} == given


@pytest.mark.parametrize(("name", "part"), [("base", "hub-web"), ("k3s", "hub-wal")])
def test_web_and_receiver_never_see_the_address_of_the_tables_owner(name: str, part: str) -> None:
    pod = found(name, "Deployment")[part]["spec"]["template"]["spec"]
    config = {key: value for each in found(name, "ConfigMap").values() for key, value in each["data"].items()}
    (given,) = (each["secret"]["items"] for each in pod["volumes"] if each["name"] == "secrets")

    assert {"key": "web-database-url", "path": "database-url"} in given
    assert "database-url" not in {each["key"] for each in given}
    needed = {path.rpartition("/")[2] for path in config.values() if path.startswith("/run/secrets/hub/")}
    assert {each["path"] for each in given} == needed


def test_logs_of_the_cluster_are_json_d78() -> None:
    (config,) = (each for name, each in found("base", "ConfigMap").items() if name.startswith("hub-config"))

    assert config["data"]["HUB_LOG_FORMAT"] == "json"


def test_namespace_is_the_same_whichever_file_is_applied_last() -> None:
    shared = yaml.safe_load_all((KUBERNETES / "challenge-manager.yaml").read_text())

    assert [each for each in shared if each["kind"] == "Namespace"] == base("Namespace")


def test_pages_that_the_manifests_name_exist() -> None:
    text = "".join(path.read_text() for path in KUBERNETES.rglob("*") if path.is_file())
    named = set(re.findall(r"docs/[\w/-]+\.md", text))

    assert named
    assert [page for page in sorted(named) if not (Path(settings.BASE_DIR) / page).is_file()] == []


def test_web_survives_the_drain_of_a_node_d79() -> None:
    (budget,) = base("PodDisruptionBudget")
    (web,) = (each for each in base("Deployment") if each["metadata"]["name"] == "hub-web")

    assert budget["spec"]["minAvailable"] == 2
    assert budget["spec"]["selector"] == web["spec"]["selector"]


def test_replicas_wait_for_the_migrations_of_one_job() -> None:
    for name, pod in pods().items():
        waits = [container["name"] for container in pod.get("initContainers", ())]
        assert waits == ([] if name == "hub-migrate" else ["wait-for-migrations"]), name
    (job,) = base("Job")
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


def test_every_command_is_one_that_exists() -> None:
    asked = {
        word
        for _, container in containers()
        for argument in container["args"]
        for word in argument.split()
        if word in get_commands()
    }

    assert asked == {"migrate", "bootstrap", "scheduler", "agent"}


# How a version gets there -----------------------------------------------------------------------------------------

FAKE_KUBECTL = """#!/usr/bin/env bash
echo "$*" >>"$LOG"
case "$*" in
  "kustomize "*) exec "$REAL" kustomize "$2" ;;
  *"$FAILS"*) exit 1 ;;
  *"get deployment/"*revision*)
    name=${4#deployment/}
    [[ " $FIRST " == *" $name "* ]] && exit
    if [[ -e $LOG.applied && " $CHANGED " == *" $name "* ]]; then echo 4; else echo 3; fi ;;
  *"get job/hub-migrate"*) echo "$JOB" ;;
  "apply --filename "*) cp "${@: -1}" "$LOG.applied" ;;
esac
"""
DEPLOYMENTS = ("hub-web", "hub-scheduler", "hub-agent")


def deploy(directory: Path, **told: str) -> tuple[int, list[str], str]:
    """Run the script against a kubectl that writes down what it is asked; returns its code, that, and what it said.

    `FAILS`: what the cluster refuses; `JOB`: conditions of the migration; `CHANGED`: what the version changes; `FIRST`:
    what was not there before.
    """
    fake = directory / "kubectl"
    fake.write_text(FAKE_KUBECTL)
    fake.chmod(0o755)
    log = directory / "log"
    cluster = {"FAILS": "nothing of this", "JOB": "Complete", "CHANGED": " ".join(DEPLOYMENTS), "FIRST": ""}
    real = str(shutil.which("kubectl"))
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "REAL": real, "LOG": str(log), **cluster, **told}
    command = [str(KUBERNETES / "apply"), "base", "registry.example.org/hub:2"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, log.read_text().splitlines(), done.stderr


def undone(asked: list[str]) -> dict[str, str]:
    """What was taken back, and to which revision."""
    lines = [line.split("rollout undo deployment/")[1] for line in asked if "rollout undo" in line]
    return {name: revision for name, _, revision in (line.partition(" --to-revision=") for line in lines)}


def test_a_version_is_applied_after_its_old_migration_is_gone_and_awaited(tmp_path: Path) -> None:
    code, asked, _ = deploy(tmp_path)

    verbs = [line.removeprefix("--namespace kutanga-hub ").split()[0] for line in asked]
    assert (code, verbs) == (0, ["kustomize", *["get"] * 3, "delete", "apply", "get", *["rollout"] * 3])
    applied = (tmp_path / "log.applied").read_text()
    assert "image: kutanga-hub\n" not in applied
    assert applied.count("image: registry.example.org/hub:2\n") == len(containers())


@pytest.mark.parametrize(
    "told", [{"JOB": "FailureTarget Failed"}, {"FAILS": "rollout status deployment/hub-scheduler"}]
)
def test_a_version_that_does_not_come_up_is_taken_back(tmp_path: Path, told: dict[str, str]) -> None:
    code, asked, _ = deploy(tmp_path, **told)

    assert (code, undone(asked)) == (1, dict.fromkeys(DEPLOYMENTS, "3"))
    last = [line.rpartition("status deployment/")[2].split()[0] for line in asked[-3:]]
    assert sorted(last) == sorted(DEPLOYMENTS), "nobody looked whether the version before serves again"


@pytest.mark.parametrize(("minutes", "looks"), [("", 150), ("6", 180)])
def test_a_migration_may_take_as_long_as_is_said(tmp_path: Path, minutes: str, looks: int) -> None:
    (tmp_path / "sleep").symlink_to("/bin/true")

    code, asked, said = deploy(tmp_path, JOB="Suspended", **({"HUB_MIGRATE_MINUTES": minutes} if minutes else {}))

    assert (code, undone(asked)) == (1, dict.fromkeys(DEPLOYMENTS, "3"))
    assert sum("get job/hub-migrate" in line for line in asked) == looks
    assert f"not done after {minutes or 5} minutes" in said
    for kind in found("base", "Deployment").values():
        assert kind["spec"]["progressDeadlineSeconds"] > 60 * 60 + 5 * 60, "a rollout would have failed meanwhile"


@pytest.mark.parametrize("minutes", ["0", "61", "5m", "-1"])
def test_a_time_for_the_migration_that_is_none_is_refused_before_anything(tmp_path: Path, minutes: str) -> None:
    command = [str(KUBERNETES / "apply"), "base", "registry.example.org/hub:2"]
    done = subprocess.run(
        command, env={**os.environ, "HUB_MIGRATE_MINUTES": minutes}, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (2, "HUB_MIGRATE_MINUTES is 1 to 60.\n")


def test_what_a_version_did_not_change_is_not_taken_back_beyond_it(tmp_path: Path) -> None:
    """`rollout undo` without a revision brought these to what was there before the version before."""
    code, asked, said = deploy(tmp_path, CHANGED="hub-web", FAILS="rollout status deployment/hub-agent")

    assert (code, undone(asked)) == (1, {"hub-web": "3"})
    assert "The version before serves." in said


def test_a_version_that_is_refused_half_way_is_taken_back(tmp_path: Path) -> None:
    code, asked, said = deploy(tmp_path, FAILS="apply --filename")

    assert (code, undone(asked)) == (1, {})
    assert "The version before serves." in said


@pytest.mark.parametrize("told", [{"FIRST": "hub-agent"}, {"FAILS": "rollout undo deployment/hub-agent"}])
def test_what_cannot_go_back_is_said(tmp_path: Path, told: dict[str, str]) -> None:
    code, _, said = deploy(tmp_path, JOB="Failed", **told)

    assert code == 1
    assert "NOT everything went back" in said


def test_labels_of_the_hub_survive_the_scrape() -> None:
    """Without it `job="backup-database"` of jobs_total is called exported_job, and an alert on it never fires."""
    monitors = [each for _, each in documents("cloud") if each["kind"] == "ServiceMonitor"]
    config = yaml.safe_load((KUBERNETES.parent / "prometheus" / "prometheus.yml").read_text())

    (endpoint,) = (endpoint for each in monitors for endpoint in each["spec"]["endpoints"])
    assert endpoint["honorLabels"] is True
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "hub"}]  # as the rules ask: up{job="hub"}
    assert [job["honor_labels"] for job in config["scrape_configs"] if job["job_name"] == "hub"] == [True]
