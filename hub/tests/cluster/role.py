"""The rights in the manifest that we ship."""

from __future__ import annotations

from pathlib import Path

import yaml
from django.conf import settings

DEPLOY = Path(settings.BASE_DIR) / "deploy" / "kubernetes"
# What the contract of all engines has no use for; all else that the role grants, it calls.
BEYOND_THE_CONTRACT = {
    # Only a machine's agent has watches: the contract's engines are never swept.
    "watches": {("watch", "", "pods"), ("watch", "", "services")},
    # Asked when the cluster has refused to make one smaller: then the one that is there stays.
    "a smaller volume": {("get", "", "persistentvolumeclaims")},
    # No verb on a workload: where machines are, who else gives addresses, and who announces them.
    "the examination": {
        ("list", "", "nodes"),
        ("list", "apps", "daemonsets"),
        ("list", "metallb.io", "l2advertisements"),
        ("list", "metallb.io", "bgpadvertisements"),
    },
}


def shipped_role() -> set[tuple[str, str, str]]:
    """Verb, group and resource of each."""
    documents = yaml.safe_load_all((DEPLOY / "challenge-manager.yaml").read_text())
    rules = next(document["rules"] for document in documents if document["kind"] == "ClusterRole")
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
