"""Bodies that the OpenAPI document shows for regions, nodes, pools and addresses."""

from __future__ import annotations

from hub.api.openapi import example

from . import clusters, upkeep
from . import serializers as shapes

example(shapes.RegionSerializer, "A region", {"slug": "eu-central-1", "name": "Frankfurt", "position": 1})
example(
    shapes.NodeSerializer,
    "A Docker host that promises its processors four times",
    {
        "name": "fra-1",
        "region": "eu-central-1",
        "engine": "docker",
        "memory_mb": 64_000,
        "cpu_percent": 1600,
        "disk_mb": 800_000,
        "overcommit": {"cpu": 4},
    },
)
example(
    shapes.PoolSerializer,
    "Game ports",
    {
        "node": "fra-1",
        "name": "games",
        "kind": "host_ports",
        "first_ip": "203.0.113.10",
        "first_port": 25565,
        "last_port": 26000,
        "excluded_ports": [25575],
    },
)
KUBECONFIG = """apiVersion: v1
kind: Config
current-context: hub
clusters: [{name: hub, cluster: {server: "https://192.168.250.10:6443", certificate-authority-data: LS0t}}]
users: [{name: hub, user: {token: the-token-of-the-account-challenge-manager}}]
contexts: [{name: hub, context: {cluster: hub, user: hub}}]
"""
example(
    shapes.NodeSerializer,
    "A whole cluster",
    {
        "name": "k3s-1",
        "region": "eu-central-1",
        "engine": "kubernetes",
        "options": {"address_pool": "challenge-pool", "share_addresses": True},
    },
)
example(clusters.KubeconfigSerializer, "With a token, nothing to run and no files", {"kubeconfig": KUBECONFIG})
example(shapes.PoolChangeSerializer, "Give no more of them", {"is_enabled": False})
example(shapes.BlockSerializer, "Used by something else", {"reason": "A printer has it."})
example(
    shapes.AddressBulkSerializer,
    "Out of use",
    {"verb": "block", "ids": [1204, 1205], "reason": "Behind a firewall until Monday."},
)
example(upkeep.RemedySerializer, "A row of the report", {"key": "server:1f0c9a2e"})
example(
    upkeep.DataRemovalSerializer,
    "Delete the data of one removed server",
    {"names": ["hub-server-0c1d6a52-7f3e-4a57-9d53-0f4a6f1d2b11"], "confirm": "frankfurt-1"},
)
example(upkeep.PullSerializer, "An image by its tag", {"image": "itzg/minecraft-server:java21"})
example(upkeep.RemovalSerializer, "See what nobody needs", {"preview": True})
example(
    upkeep.RegistryChangeSerializer,
    "A private registry",
    {"registry": "registry.example.org", "username": "puller", "password": "a long one"},
)
