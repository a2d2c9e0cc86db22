"""The console of a server over HTTP: one command, one answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from hub.api.shapes import parse
from servers import services
from servers.models import ConsoleCommand

if TYPE_CHECKING:
    from rest_framework.viewsets import GenericViewSet

    Base = GenericViewSet[Any]
else:
    Base = object


class CommandRequestSerializer(serializers.Serializer[Any]):
    """One line for the console, without control characters, of 1000 bytes at most."""

    text = serializers.CharField(max_length=services.LONGEST_COMMAND)


class CommandSerializer(serializers.ModelSerializer[ConsoleCommand]):
    """What the server answered, its passwords masked; `is_cut` when it said more than is kept."""

    answer = serializers.SerializerMethodField()

    class Meta:
        model = ConsoleCommand
        fields: ClassVar[tuple[str, ...]] = ("id", "kind", "answer", "is_cut", "created_at", "finished_at")
        read_only_fields: ClassVar[tuple[str, ...]] = fields

    def get_answer(self, command: ConsoleCommand) -> str:
        return command.answer.reveal()


class ConsoleActions(Base):
    """What ServerViewSet has besides: the console."""

    @extend_schema(
        summary="Send a command to the console and wait for the answer",
        request=CommandRequestSerializer,
        responses=CommandSerializer,
    )
    @action(detail=True, methods=["post"])
    def command(self, request: Request, pk: str) -> Response:
        """Waits for some seconds at most. 409 `not_now` while it does not run, 409 `password_refused`; 503
        `agent_silent` when the node's agent did not take it in time and it was not sent, 503 `agent_lost`,
        `no_answer` or `closed` when it may have been."""
        text = parse(CommandRequestSerializer, request)["text"]
        command = services.send_command(self.get_object(), text, actor=request.user)
        services.await_answer(command)
        if problem := services.problem(command):
            raise problem
        return Response(CommandSerializer(command).data, headers={"Cache-Control": "no-store"})
