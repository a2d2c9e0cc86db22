"""Shapes of regions, nodes, pools, addresses and operations."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from hub.api.bulk import BulkErrorSerializer, ids_field
from hub.nodes.choices import EngineKind, PoolKind
from hub.nodes.clusters import MOST_BYTES
from hub.nodes.models import Address, AddressPool, Node, Operation, Region


class RegionSerializer(serializers.ModelSerializer[Region]):
    """A region as players choose it."""

    class Meta:
        model = Region
        fields = ["slug", "name", "position", "is_enabled"]

    def get_fields(self) -> dict[str, Any]:
        """A slug stands in profiles and scripts, so it stays."""
        fields = super().get_fields()
        if self.instance is not None and not isinstance(self.parent, serializers.ListSerializer):
            fields["slug"].read_only = True
        return fields


class NodeSerializer(serializers.ModelSerializer[Node]):
    """A node; its credentials never leave the hub."""

    region = serializers.SlugRelatedField(slug_field="slug", queryset=Region.objects.all())
    engine = serializers.ChoiceField(choices=EngineKind.choices)
    is_agent_alive = serializers.BooleanField(read_only=True)
    kubeconfig = serializers.CharField(
        max_length=MOST_BYTES,
        write_only=True,
        required=False,
        trim_whitespace=False,
        help_text="Of a cluster whose agent runs outside it. It is never shown again.",
    )

    class Meta:
        model = Node
        fields = [
            "name",
            "region",
            "engine",
            "options",
            "kubeconfig",
            "is_enabled",
            "is_draining",
            "memory_mb",
            "cpu_percent",
            "disk_mb",
            "overcommit",
            "is_agent_alive",
            "agent_seen_at",
            "agent_version",
            "agent_facts",
            "engine_error",
            "engine_checked_at",
            "created_at",
        ]
        read_only_fields = ["agent_seen_at", "agent_version", "agent_facts", "engine_error", "engine_checked_at"]

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        if self.instance is not None and not isinstance(self.parent, serializers.ListSerializer):
            fields["name"].read_only = fields["engine"].read_only = True
        return fields


class PoolSerializer(serializers.ModelSerializer[AddressPool]):
    """A pool with the number of its addresses in each state."""

    node = serializers.SlugRelatedField(slug_field="name", queryset=Node.objects.all())
    kind = serializers.ChoiceField(choices=PoolKind.choices, default=PoolKind.HOST_PORTS)
    free = serializers.IntegerField(source="free_count", read_only=True)
    leased = serializers.IntegerField(source="leased_count", read_only=True)
    quarantined = serializers.IntegerField(source="quarantined_count", read_only=True)
    blocked = serializers.IntegerField(source="blocked_count", read_only=True)

    class Meta:
        model = AddressPool
        fields = [
            "id",
            "node",
            "name",
            "kind",
            "is_public",
            "is_enabled",
            "first_ip",
            "last_ip",
            "first_port",
            "last_port",
            "excluded_ports",
            "prefix_length",
            "quarantine_seconds",
            "free",
            "leased",
            "quarantined",
            "blocked",
            "created_at",
        ]


class PoolChangeSerializer(serializers.Serializer[Any]):
    """What may be changed of a pool that has given addresses."""

    is_enabled = serializers.BooleanField()


class AddressSerializer(serializers.ModelSerializer[Address]):
    """One address and who holds it."""

    node: Any = serializers.SlugRelatedField(slug_field="name", read_only=True)

    class Meta:
        model = Address
        fields = [
            "id",
            "node",
            "pool",
            "ip",
            "port",
            "state",
            "holder",
            "port_name",
            "reason",
            "leased_at",
            "released_at",
            "rest_until",
        ]
        read_only_fields = fields


class BlockSerializer(serializers.Serializer[Any]):
    """Why an address is taken out of use."""

    reason = serializers.CharField(max_length=200)


class AddressBulkSerializer(serializers.Serializer[Any]):
    """Take many addresses out of use, or put them back."""

    verb = serializers.ChoiceField(choices=["block", "unblock"])
    ids = ids_field(serializers.IntegerField(min_value=1, max_value=2**63 - 1))
    reason = serializers.CharField(max_length=200, required=False, help_text="Why; for `block`.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["verb"] == "block" and not attrs.get("reason"):
            raise serializers.ValidationError({"reason": "Say why they are taken out of use."})
        return attrs


class AddressBulkResultSerializer(serializers.Serializer[Any]):
    """What came of it for one address."""

    id = serializers.IntegerField()
    status = serializers.IntegerField()
    error = BulkErrorSerializer(allow_null=True)


class OperationSerializer(serializers.ModelSerializer[Operation]):
    """A wish and what became of it."""

    node: Any = serializers.SlugRelatedField(slug_field="name", read_only=True)
    actor = serializers.CharField(source="actor_name", read_only=True)
    seconds = serializers.FloatField(read_only=True, allow_null=True)

    class Meta:
        model = Operation
        fields = [
            "id",
            "verb",
            "status",
            "error",
            "workload_kind",
            "workload_id",
            "workload_name",
            "node",
            "actor",
            "request_id",
            "created_at",
            "started_at",
            "pull_seconds",
            "finished_at",
            "seconds",
        ]
        read_only_fields = fields
