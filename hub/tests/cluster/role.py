"""The rights in the manifest that we ship."""

from __future__ import annotations

from pathlib import Path

import yaml
from django.conf import settings

DEPLOY = Path(settings.BASE_DIR) / "deploy" / "kubernetes"


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
