"""A node that is a cluster, over HTTP: how its agent gets in, and what an examination has shown."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from hub.engines.base import Verdict
from hub.nodes import clusters
from hub.nodes.models import Node


class KubeconfigSerializer(serializers.Serializer[Any]):
    """How the agent gets into the cluster: sealed at rest and never shown again."""

    kubeconfig = serializers.CharField(max_length=clusters.MOST_BYTES, write_only=True, trim_whitespace=False)


class KubeconfigStateSerializer(serializers.Serializer[Any]):
    """Whether there is one; without it the agent uses the account of the pod it runs in."""

    is_set = serializers.BooleanField()


class CheckSerializer(serializers.Serializer[Any]):
    """One thing that was examined, and what to do about it."""

    name = serializers.CharField()
    verdict = serializers.ChoiceField(choices=[str(verdict) for verdict in Verdict])
    found = serializers.CharField(allow_blank=True)
    advice = serializers.CharField(allow_blank=True)


class ExaminationSerializer(serializers.Serializer[Any]):
    """What the last examination has shown, what is wrong first; `error` says why there is nothing newer."""

    taken_at = serializers.DateTimeField(allow_null=True)
    is_under_way = serializers.BooleanField()
    error = serializers.CharField(allow_blank=True)
    checks = CheckSerializer(many=True)


class ClusterActions(GenericViewSet[Any]):
    """What `NodeViewSet` can do about a node that is a cluster; for machines there is nothing here."""

    cluster_verbs: ClassVar[dict[str, str]] = {"kubeconfig": "nodes.view", "examination": "nodes.view"}

    @extend_schema(summary="Say whether a cluster has a kubeconfig", responses=KubeconfigStateSerializer)
    @action(detail=True, methods=["get"])
    def kubeconfig(self, request: Request, name: str) -> Response:
        node = self._cluster()
        return Response(KubeconfigStateSerializer({"is_set": clusters.has_kubeconfig(node)}).data)

    @extend_schema(summary="Store a cluster's kubeconfig", request=KubeconfigSerializer, responses={204: None})
    @kubeconfig.mapping.put
    def set_kubeconfig(self, request: Request, name: str) -> Response:
        asked = KubeconfigSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        clusters.set_kubeconfig(self._cluster(), actor=request.user, kubeconfig=asked.validated_data["kubeconfig"])
        return Response(status=204)

    @extend_schema(summary="Forget a cluster's kubeconfig", responses={204: None})
    @kubeconfig.mapping.delete
    def forget_kubeconfig(self, request: Request, name: str) -> Response:
        clusters.forget_kubeconfig(self._cluster(), actor=request.user)
        return Response(status=204)

    @extend_schema(summary="Show what an examination of the cluster has shown", responses=ExaminationSerializer)
    @action(detail=True, methods=["get"])
    def examination(self, request: Request, name: str) -> Response:
        return Response(_shown(self._cluster()))

    @extend_schema(summary="Have the cluster examined now", request=None, responses={202: ExaminationSerializer})
    @examination.mapping.post
    def examine(self, request: Request, name: str) -> Response:
        node = self._cluster()
        clusters.ask_examination(node, actor=request.user)
        return Response(_shown(node), status=202)

    def _cluster(self) -> Node:
        node: Node = self.get_object()
        clusters.need_cluster(node)
        return node


def _shown(node: Node) -> Any:
    report, checks = clusters.checks_of(node)
    return ExaminationSerializer(
        {
            "taken_at": report and report.taken_at,
            "is_under_way": clusters.is_under_way(report),
            "error": report.error if report else "",
            "checks": checks,
        }
    ).data
