"""The manifests that carry the hub itself: valid for a strict reader, without the faults of the seed (D71–D80)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from django.conf import settings
from django.core.management import get_commands
from django.urls import resolve

from hub.settings import env

KUBERNETES = Path(settings.BASE_DIR) / "deploy" / "kubernetes"
SETS = ("base", "k3s", "cloud")
VERSION = "1.32"
FOREIGN = ("cert-manager.io/", "external-secrets.io/", "monitoring.coreos.com/", "kustomize.config.k8s.io/")
PATCHES = {"k3s": ("ingress.yaml", "policies.yaml"), "cloud": ("ingress.yaml",)}


def documents(name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a set with its file."""
    for path in sorted((KUBERNETES / name).glob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            yield path.name, document


def base(kind: str) -> list[dict[str, Any]]:
    return [document for _, document in documents("base") if document["kind"] == kind]


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


@pytest.mark.parametrize("name", SETS)
def test_manifests_are_valid(name: str) -> None:
    for file, document in documents(name):
        if not document["apiVersion"].startswith(FOREIGN) and file not in PATCHES.get(name, ()):
            kubernetes_validate.validate(document, VERSION, strict=True)


@pytest.mark.parametrize("name", SETS)
def test_kustomizations_name_every_file_and_no_other(name: str) -> None:
    listed = yaml.safe_load((KUBERNETES / name / "kustomization.yaml").read_text())
    named = {*listed["resources"], *listed.get("patchesStrategicMerge", ())} - {"../base"}

    assert named == {path.name for path in (KUBERNETES / name).glob("*.yaml")} - {"kustomization.yaml"}


@pytest.mark.parametrize("name", PATCHES)
def test_patches_meet_an_object_of_the_base(name: str) -> None:
    there = {(each["kind"], each["metadata"]["name"]) for _, each in documents("base") if "metadata" in each}
    patches = [each for file, each in documents(name) if file in PATCHES[name]]

    assert {(each["kind"], each["metadata"]["name"]) for each in patches} <= there


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
    names = {each["metadata"]["name"] for each in base("Deployment")} | {"hub-migrate"}

    assert policies["default-deny"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    allowed = policies["web-ingress"]["ingress"][0]
    assert {peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in allowed["from"]} == {
        "ingress-nginx",
        "monitoring",
    }
    for name, spec in policies.items():
        assert not any("to" in rule for rule in spec.get("ingress", ())), name
        label = spec["podSelector"].get("matchLabels", {}).get("app.kubernetes.io/name")
        assert label in {None, *names}, name
    ports = {port["port"] for rule in policies["databases"]["egress"] for port in rule["ports"]}
    assert ports == {5432, 6379}


def test_no_role_reads_secrets_and_no_secret_is_in_a_manifest_d76() -> None:
    kinds = {document["kind"] for name in SETS for _, document in documents(name)}

    assert not kinds & {"Secret", "Role", "ClusterRole"}


def test_secrets_come_as_files_of_names_that_the_hub_reads() -> None:
    (config,) = base("ConfigMap")
    files = {name: path for name, path in config["data"].items() if name.endswith("_FILE")}
    (external,) = (each for _, each in documents("cloud") if each["kind"] == "ExternalSecret")

    assert {name.removesuffix("_FILE") for name in files} <= set(env.declared)
    assert {path.rpartition("/")[2] for path in files.values()} == {
        entry["secretKey"] for entry in external["spec"]["data"]
    }


def test_logs_of_the_cluster_are_json_d78() -> None:
    (config,) = base("ConfigMap")

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
  "kustomize "*) cat "$2"/*.yaml ;;
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
    environment = {"PATH": f"{directory}:{os.environ['PATH']}", "LOG": str(log), **cluster, **told}
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
