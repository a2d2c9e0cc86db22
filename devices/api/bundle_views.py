"""Bundles, publishers' keys and deployments over HTTP: parse, call one service, answer."""

from __future__ import annotations

import base64
import binascii
from typing import Any, ClassVar
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.permissions import require
from hub.api.etags import conditional
from hub.api.filters import orders_of
from hub.api.idempotency import idempotent
from hub.api.shapes import parse
from hub.api.throttles import ThrottledView
from hub.api.views import HubViewSet
from hub.exceptions import Conflict, HubError, Invalid, NotFound

from ..bundles import services as bundles
from ..bundles.lists import PUBLISHERS
from ..bundles.models import Bundle, PublisherKey
from ..deployments import services as deployments
from ..deployments import suits
from ..deployments.models import Deployment, DeploymentTarget
from ..deployments.services import Chosen, Terms
from ..models import Device
from . import bundle_filters as filters
from . import bundle_serializers as shapes

MOST_NAMED = 100
CHOICE = ("devices", "groups", "all")
TERMS = tuple(Terms.__dataclass_fields__)


class BundleViewSet(HubViewSet):
    """Bundles. An upload: make it, send its pieces in order, finish it."""

    queryset = Bundle.objects.select_related("publisher").defer("content_key")
    serializer_class = shapes.BundleSerializer
    filterset_class = filters.BundleFilter
    ordering_fields = ("name", "version", "created_at", "size_bytes", "status")
    ordering = ("-created_at",)
    version_fields = ("description", "device_types", "status")
    verbs: ClassVar[dict[str, str]] = {"list": "bundles.view", "retrieve": "bundles.view", "*": "bundles.change"}
    rate_classes: ClassVar[dict[str, str]] = {"create": "upload"}

    @extend_schema(
        summary="Begin to upload a bundle, or upload it as a form",
        request={
            "application/json": shapes.BundleReserveSerializer,
            "multipart/form-data": shapes.BundleUploadSerializer,
        },
        responses={201: shapes.BundleMadeSerializer},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Name and version are taken from now on. 409 `version_exists`, 409 `store_full`; 400 `signature_required`
        once there is a publisher, 400 `signature_refused` when his word is another one.

        A form with `file` and `manifest` is the whole upload in one request: the bundle is ready, or nothing of it
        stays."""
        if request.content_type.startswith(MultiPartParser.media_type):
            asked = parse(shapes.BundleUploadSerializer, request)
            file, signed = asked["file"], asked.get("signature")
            said = {"name": asked.get("name", ""), "manifest": asked["manifest"], "signed": signed}
            bundle = bundles.upload_bundle(actor=request.user, file=file, size_bytes=file.size, **said)
        else:
            bundle = bundles.reserve_bundle(actor=request.user, **parse(shapes.BundleReserveSerializer, request))
        self.shown = Bundle.objects.select_related("publisher").get(pk=bundle.pk)
        answer = shapes.BundleMadeSerializer(self.shown).data
        return Response(answer, status=201, headers={"Location": f"{request.path}/{bundle.pk}"})

    def get_parsers(self) -> list[Any]:
        """Only an upload may be a form."""
        parsers: list[Any] = super().get_parsers()
        return [*parsers, MultiPartParser()] if self.action_map.get("post") == "create" else parsers

    @extend_schema(request=shapes.BundleChangeSerializer, responses=shapes.BundleSerializer)
    @conditional
    def partial_update(self, request: Request, pk: str) -> Response:
        """409 `bundle_fixed` once it was used."""
        asked = parse(shapes.BundleChangeSerializer, request)
        return self._show(bundles.update_bundle(self.get_object(), actor=request.user, **asked))

    @extend_schema(responses={204: None})
    @conditional
    def destroy(self, request: Request, pk: str) -> Response:
        """One that was never used, or an upload that is not wanted. One that was used stays as `removed`, without its
        file; 409 `bundle_in_use` while a device is to get it, runs it or would be sent back to it."""
        bundles.delete_bundle(self.get_object(), actor=request.user)
        return Response(status=204)

    @extend_schema(
        summary="Send the next bytes of an upload", request=shapes.PieceSerializer, responses=shapes.BundleSerializer
    )
    @action(detail=True, methods=["post"])
    def piece(self, request: Request, pk: str) -> Response:
        """What came already is no error. 409 `offset_mismatch` leaves a gap: `received_bytes` says where to go on;
        `upload_lost` when what came before is gone: delete the upload and begin again."""
        asked = parse(shapes.PieceSerializer, request)
        try:
            data = base64.b64decode(asked["content"], validate=True)
        except (ValueError, binascii.Error):
            raise Invalid("This is not base64.", field="content") from None
        return self._show(bundles.append_piece(self.get_object(), asked["offset"], data, actor=request.user))

    @extend_schema(summary="Check an upload and make it a bundle", request=None, responses=shapes.BundleSerializer)
    @action(detail=True, methods=["post"])
    def finish(self, request: Request, pk: str) -> Response:
        """409 `upload_incomplete`; 400 `digest_mismatch`, `archive_refused`, `manifest_refused`. May be repeated."""
        return self._show(bundles.finish_upload(self.get_object(), actor=request.user))

    @extend_schema(
        summary="Send a bundle to nobody any more",
        request=shapes.InvalidateSerializer,
        responses=shapes.BundleSerializer,
    )
    @action(detail=True, methods=["post"])
    def invalidate(self, request: Request, pk: str) -> Response:
        """It stays, so that history can be read. This cannot be taken back."""
        asked = parse(shapes.InvalidateSerializer, request)
        return self._show(bundles.invalidate_bundle(self.get_object(), actor=request.user, **asked))

    @extend_schema(
        summary="Look whether a stored bundle is whole",
        request=shapes.VerifySerializer,
        responses={200: shapes.VerifiedSerializer, 410: None},
    )
    @action(detail=True, methods=["post"])
    def verify(self, request: Request, pk: str) -> Response:
        """The file in the store is read to its end. With `checksum` also whether it is the file of this SHA-256; 410
        `file_gone` when there is none."""
        found = bundles.verify_bundle(self.get_object(), actor=request.user, **parse(shapes.VerifySerializer, request))
        return Response(shapes.VerifiedSerializer(found).data)

    def _show(self, bundle: Bundle) -> Response:
        self.shown = Bundle.objects.select_related("publisher").get(pk=bundle.pk)
        return Response(shapes.BundleSerializer(self.shown).data)


class PublisherViewSet(HubViewSet):
    """Keys whose signatures make files bundles."""

    queryset = PublisherKey.objects.all()
    serializer_class = shapes.PublisherSerializer
    filterset_class = filters.PublisherFilter
    ordering_fields = orders_of(PUBLISHERS)
    ordering = ("name",)
    verbs: ClassVar[dict[str, str]] = {"list": "bundles.view", "retrieve": "bundles.view", "*": "publishers.change"}

    @extend_schema(summary="Trust a publisher's key", responses={201: shapes.PublisherSerializer})
    def create(self, request: Request) -> Response:
        """From the first one on, nothing is uploaded without a signature."""
        row = bundles.add_publisher(actor=request.user, **parse(shapes.PublisherSerializer, request))
        headers = {"Location": f"{request.path}/{row.pk}"}
        return Response(shapes.PublisherSerializer(row).data, status=201, headers=headers)

    @extend_schema(summary="Trust a key again", request=None, responses=shapes.PublisherSerializer)
    @action(detail=True, methods=["post"])
    def enable(self, request: Request, pk: str) -> Response:
        row = bundles.set_publisher_enabled(self.get_object(), True, actor=request.user)
        return Response(shapes.PublisherSerializer(row).data)

    @extend_schema(summary="Trust a key no longer", request=None, responses=shapes.PublisherSerializer)
    @action(detail=True, methods=["post"])
    def disable(self, request: Request, pk: str) -> Response:
        """What it signed before stays as it is."""
        row = bundles.set_publisher_enabled(self.get_object(), False, actor=request.user)
        return Response(shapes.PublisherSerializer(row).data)


class DeploymentViewSet(HubViewSet):
    """Deployments and rollbacks."""

    queryset = Deployment.objects.all()
    serializer_class = shapes.DeploymentSerializer
    filterset_class = filters.DeploymentFilter
    ordering_fields = ("created_at", "status", "kind", "finished_at")
    ordering = ("-created_at",)
    list_actions = frozenset({"list", "targets"})
    verbs: ClassVar[dict[str, str]] = {
        "list": "deployments.view",
        "retrieve": "deployments.view",
        "targets": "deployments.view",
        "*": "deployments.change",
    }

    def get_queryset(self) -> QuerySet[Any]:
        if self.action == "targets":
            rows = DeploymentTarget.objects.visible_to(self.request.user)
            return rows.filter(deployment=self.kwargs["pk"]).select_related("device", "bundle")
        deployments_seen: Any = super().get_queryset()
        return deployments_seen.select_related("bundle").with_counts()

    @extend_schema(
        summary="Deploy a bundle",
        request=shapes.DeploymentCreateSerializer,
        responses={201: shapes.DeploymentMadeSerializer, 404: None},
    )
    @idempotent
    def create(self, request: Request) -> Response:
        """Devices that cannot take it are left out and named; 409 `no_device` when that is all of them. 404
        `no_such_bundle` for a bundle or version that there is not."""
        asked = parse(shapes.DeploymentCreateSerializer, request)
        made = deployments.create_deployment(
            _bundle(asked, request.user), _chosen(asked), _terms(asked), actor=request.user
        )
        location = {"Location": f"{request.path}/{made.deployment.pk}"}
        return Response(_made(made), status=201, headers=location)

    @extend_schema(
        summary="See whom a deployment would reach",
        request=shapes.DeploymentCreateSerializer,
        responses={200: shapes.DeploymentPreviewSerializer, 404: None},
    )
    @action(detail=False, methods=["post"], filterset_class=None, pagination_class=None)
    def preview(self, request: Request) -> Response:
        """Nothing is stored."""
        asked = parse(shapes.DeploymentCreateSerializer, request)
        bundle = _bundle(asked, request.user)
        found = deployments.preview_deployment(bundle, _chosen(asked), _terms(asked), actor=request.user)
        answer = {
            "eligible": len(found.eligible),
            "refused": len(found.refused),
            "bytes": len(found.eligible) * (bundle.stored_bytes or bundle.size_bytes),
            "devices": [each.name for each in found.eligible[:MOST_NAMED]],
            "refusals": _refusals(found.refused),
        }
        return Response(shapes.DeploymentPreviewSerializer(answer).data)

    @extend_schema(
        summary="List the devices of a deployment", responses=shapes.TargetSerializer(many=True), filters=True
    )
    @action(
        detail=True,
        queryset=DeploymentTarget.objects.all(),
        serializer_class=shapes.TargetSerializer,
        filterset_class=filters.TargetFilter,
        ordering_fields=("number", "status", "finished_at"),
        ordering=("number",),
    )
    def targets(self, request: Request, pk: str) -> Response:
        get_object_or_404(Deployment.objects.visible_to(request.user), pk=pk)
        return self.list(request)

    @extend_schema(
        summary="Call a deployment off", request=shapes.CancelSerializer, responses=shapes.DeploymentSerializer
    )
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: str) -> Response:
        """Nobody else is offered it, who works on it is told to stop; what is installed stays."""
        asked = parse(shapes.CancelSerializer, request)
        deployments.cancel_deployment(self.get_object(), actor=request.user, **asked)
        return Response(shapes.DeploymentSerializer(self.get_object()).data)

    @extend_schema(summary="Try again where it failed", request=None, responses={201: shapes.DeploymentMadeSerializer})
    @idempotent
    @action(detail=True, methods=["post"])
    def retry(self, request: Request, pk: str) -> Response:
        """A new deployment on the same terms. 409 `no_device` when there is none to try."""
        made = deployments.retry_failed(self.get_object(), actor=request.user)
        return Response(_made(deployments.Made(made)), status=201)

    @extend_schema(
        summary="Send back the devices that a deployment reached",
        request=shapes.DeploymentRollbackSerializer,
        responses={202: shapes.DeploymentMadeSerializer},
    )
    @idempotent
    @action(detail=True, methods=["post"])
    def rollback(self, request: Request, pk: str) -> Response:
        """Each to its own last good bundle, or all to `target_version`; a new deployment. Who cannot is named; 409
        `no_way_back` when nobody can."""
        deployment, asked = self.get_object(), parse(shapes.DeploymentRollbackSerializer, request)
        require(request.user, "deployments.change", deployment)
        version, all_or_none = asked.pop("target_version", None), asked.pop("all_or_none", False)
        made = deployments.rollback_devices(
            deployments.reached_by(deployment, actor=request.user),
            actor=request.user,
            to=_by_version(version, request.user, field="target_version") if version is not None else None,
            terms=Terms(**asked),
            all_or_none=all_or_none,
            parent=deployment,
        )
        return Response(_made(made), status=202, headers={"Location": f"/api/v1/deployments/{made.deployment.pk}"})

    @extend_schema(
        summary="End a deployment for a device that does not answer",
        request=shapes.ForceQuitSerializer,
        responses=shapes.TargetSerializer,
    )
    @action(detail=True, methods=["post"], url_path="force-quit")
    def force_quit(self, request: Request, pk: str) -> Response:
        """The hub stops waiting for it. 409 `target_over` when it has ended, `not_a_target` for another device."""
        deployment, device = self.get_object(), parse(shapes.ForceQuitSerializer, request)["device"]
        rows = DeploymentTarget.objects.visible_to(request.user).filter(deployment=deployment)
        target = rows.select_related("deployment").filter(device=device).first()
        if target is None:
            raise Conflict("This device is not among its targets.", code="not_a_target", field="device")
        deployments.force_quit(target, actor=request.user)
        return Response(shapes.TargetSerializer(rows.select_related("device", "bundle").get(pk=target.pk)).data)


class RollbackView(ThrottledView):
    """Back to what ran before."""

    @extend_schema(
        summary="Send devices back to their last good bundles",
        request=shapes.RollbackSerializer,
        responses={201: shapes.DeploymentMadeSerializer},
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """With `bundle_version` all to that one, which must have run on each with success. Who cannot is left out and
        named, or refuses the whole with `all_or_none`; 409 `no_way_back` when nobody can."""
        devices, to, asked = _going_back(request)
        all_or_none = asked.pop("all_or_none", False)
        made = deployments.rollback_devices(
            devices, actor=request.user, to=to, terms=Terms(**asked), all_or_none=all_or_none
        )
        return Response(_made(made), status=201)


class RollbackPreviewView(ThrottledView):
    """Where devices would go back to."""

    @extend_schema(
        summary="See which devices can be sent back, where to, and who cannot and why",
        request=shapes.RollbackSerializer,
        responses=shapes.RollbackPreviewSerializer,
    )
    def post(self, request: Request) -> Response:
        """Nothing is stored. Of each at most a hundred are named."""
        devices, to, _ = _going_back(request)
        ways = deployments.ways_back(devices, to=to)
        going = [way for way in ways if way.is_open]
        closed = [(way.device, list(way.reasons)) for way in ways if not way.is_open]
        answer = {
            "eligible": len(going),
            "refused": len(closed),
            "ways": [
                {
                    "device": way.device.id,
                    "name": way.device.name,
                    "runs": way.device.running,
                    "bundle": str(way.bundle),
                }
                for way in going[:MOST_NAMED]
            ],
            "refusals": _refusals(closed),
        }
        return Response(shapes.RollbackPreviewSerializer(answer).data)


def _going_back(request: Request) -> tuple[QuerySet[Device], Bundle | None, dict[str, Any]]:
    """The devices that are meant, where they are to go if it is said, and the rest of what was said."""
    require(request.user, "deployments.change")
    asked = parse(shapes.RollbackSerializer, request)
    ids = {"devices": asked.pop("target_device_ids", []), "groups": asked.pop("groups", [])}
    devices = deployments.choose_devices(Chosen(**ids, all=asked.pop("all", False)), actor=request.user)
    version = asked.pop("bundle_version", None)
    return devices, _by_version(version, request.user) if version is not None else None, asked


def _bundle(asked: dict[str, Any], user: Any) -> Bundle:
    """The bundle that is meant, by its id or its version."""
    key: UUID | None = asked.get("bundle")
    if key is not None:
        found = Bundle.objects.visible_to(user).filter(pk=key).first()
        if found is None:
            raise NotFound("There is no such bundle.", code="no_such_bundle", field="bundle")
        return found
    if "bundle_version" not in asked:
        raise Invalid("Say which bundle.", field="bundle")
    return _by_version(asked["bundle_version"], user, unknown=NotFound)


def _by_version(version: str, user: Any, field: str = "bundle_version", unknown: type[HubError] = Invalid) -> Bundle:
    found = list(Bundle.objects.visible_to(user).filter(version=version)[:2])
    if not found:
        raise unknown("There is no bundle of this version.", code="no_such_bundle", field=field)
    if len(found) > 1:
        raise Invalid("Several bundles have this version; name one by its id.", field=field)
    return found[0]


def _chosen(asked: dict[str, Any]) -> Chosen:
    devices = [*asked.get("devices", []), *asked.get("target_devices", [])]
    return Chosen(devices=devices, groups=asked.get("groups", []), all=asked.get("all", False))


def _terms(asked: dict[str, Any]) -> Terms:
    return Terms(**{name: asked[name] for name in TERMS if name in asked})


def _made(made: deployments.Made) -> dict[str, Any]:
    row = made.deployment
    answer = {
        "deployment_id": row.pk,
        "status": "pending",  # what older programs wait for
        "targets": row.targets.count(),
        "refusals": _refusals(made.refused),
    }
    return dict(shapes.DeploymentMadeSerializer(answer).data)


def _refusals(refused: list[tuple[suits.Candidate, list[suits.Reason]]]) -> list[dict[str, Any]]:
    return [{"device": each.id, "name": each.name, "reasons": reasons} for each, reasons in refused[:MOST_NAMED]]
