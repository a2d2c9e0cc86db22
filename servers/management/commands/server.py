"""`manage.py server …`: list, make and steer game servers from a shell, by the same services as pages and API.

Exit codes: 0 done, 1 refused or ended badly, 2 wrong usage, 3 not at rest in time. Answers go to standard output,
progress and errors to standard error; `--json` answers with the shapes of the API.
"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.core.serializers.json import DjangoJSONEncoder
from django.db.models import QuerySet

from accounts.actors import SYSTEM, Actor
from accounts.models import User
from hub import context
from hub.exceptions import HubError, Invalid, NotAllowed
from hub.nodes.api.serializers import OperationSerializer
from hub.nodes.choices import ObservedStatus
from hub.nodes.models import Operation, Region
from servers import services
from servers.api.console import CommandSerializer
from servers.api.serializers import ServerSerializer
from servers.lists import find
from servers.models import GameServer, Template
from servers.terminal import find_server, follow, table

REFUSED, TOO_LATE = 1, 3
LIMITS = ("memory_mb", "disk_mb", "cpu_percent")
HEADS = ("ID", "NAME", "OWNER", "STATUS", "ADDRESS", "TEMPLATE", "NODE")
OPERATION_HEADS = ("WHEN", "VERB", "STATUS", "BY", "SECONDS", "ERROR")
HELPS = {
    "start": "Start servers.",
    "stop": "Stop servers in their own way.",
    "restart": "Stop servers and start them with their present settings.",
    "kill": "End servers at once; what they have not saved is lost.",
    "delete": "Delete servers with all their data.",
}


class Command(BaseCommand):
    """A server is named by its name, `owner/name`, its id, or the beginning of its id."""

    help = "Lists, makes and steers game servers."

    def add_arguments(self, parser: CommandParser) -> None:
        common = ArgumentParser(add_help=False)
        common.add_argument("--as", dest="as_user", metavar="USER", help="act as this user; else as the hub itself")
        common.add_argument("--json", action="store_true", help="answer in JSON, as the API does")
        waiting = ArgumentParser(add_help=False)
        waiting.add_argument("--wait", action="store_true", help="until it has come to rest, telling each step")
        waiting.add_argument("--timeout", type=float, default=300.0, help="seconds to wait at most (300)")
        verbs = parser.add_subparsers(dest="verb", required=True, parser_class=ArgumentParser)

        listing = verbs.add_parser("list", parents=[common], help="List servers.")
        listing.add_argument("-q", "--search", default="", help="part of the name, an address, an owner or an id")
        listing.add_argument("--status", action="append", choices=ObservedStatus.values, help="may be repeated")
        listing.add_argument("--owner", help="username")
        listing.add_argument("--limit", type=_count, default=200, help="at most so many (200)")
        show = verbs.add_parser("show", parents=[common], help="Show one server.")
        show.add_argument("server")
        self._add_create(verbs.add_parser("create", parents=[common, waiting], help="Make a server."))
        for verb, text in HELPS.items():
            power = verbs.add_parser(verb, parents=[common, waiting], help=text)
            power.add_argument("servers", nargs="+", metavar="server")
            if verb == "delete":
                power.add_argument("--yes", action="store_true", help="do not ask")
        log = verbs.add_parser("log", parents=[common], help="Show the newest output.")
        log.add_argument("server")
        log.add_argument("-n", "--lines", type=int, default=50, help="the last so many lines (50)")
        command = verbs.add_parser(
            "command", parents=[common], help="Send a command to the console and show the answer."
        )
        command.add_argument("server")
        command.add_argument("text", help="one line, in quotes")
        operations = verbs.add_parser("operations", parents=[common], help="Show what was asked of a server.")
        operations.add_argument("server")
        operations.add_argument("--limit", type=_count, default=20, help="the newest so many (20)")

    @staticmethod
    def _add_create(parser: ArgumentParser) -> None:
        parser.add_argument("name")
        parser.add_argument("--template", required=True, help="slug of the template")
        parser.add_argument("--region", help="slug of the region; else the owner's preference, or the only one")
        parser.add_argument("--owner", help="username; needed unless --as names him")
        parser.add_argument("--description", default="")
        for name in LIMITS:
            parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="else as the template has it")
        parser.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting; may be repeated"
        )
        parser.add_argument(
            "--publish", action="append", default=[], metavar="PORT", help="a private port to open; may be repeated"
        )

    def handle(self, *args: Any, verb: str, **options: Any) -> None:
        with context.use(context.Context(request_id=context.new_request_id(), via="command")):
            try:
                actor = self._actor(options["as_user"])
                if verb in HELPS:
                    self._powers(verb, actor, **options)
                else:
                    getattr(self, f"_{verb}")(actor, **options)
            except HubError as error:
                raise CommandError(error.message, returncode=_exit_code(error)) from None

    def _list(self, actor: Actor, *, search: str, status: list[str], owner: str, limit: int, **options: Any) -> None:
        servers: QuerySet[GameServer] = GameServer.objects.visible_to(actor).alive().with_details()
        if search:
            servers = find(servers, search)
        if status:
            servers = servers.filter(observed_status__in=status)
        if owner:
            servers = servers.filter(owner__username__iexact=owner)
        self._say_servers(list(servers.order_by("name", "pk")[:limit]), **options)

    def _show(self, actor: Actor, *, server: str, **options: Any) -> None:
        found = find_server(server, actor=actor)
        if options["json"]:
            self._say_json(ServerSerializer(found).data)
            return
        facts = ServerSerializer(found).data
        shown = {**facts, "template": found.template.slug, "addresses": ", ".join(map(str, found.leased_addresses))}
        self.stdout.write(table(("FIELD", "VALUE"), shown.items()))

    def _create(self, actor: Actor, *, name: str, template: str, region: str, owner: str, **options: Any) -> None:
        whose = _user(owner) if owner else actor
        if not isinstance(whose, User):
            raise Invalid("Say whose it is to be: --owner.", field="owner")
        chosen = Template.objects.visible_to(actor).filter(slug=template).first()
        if chosen is None:
            raise Invalid(f"There is no template {template}.", field="template")
        limits = {each: options[each] or getattr(chosen, f"default_{each}") for each in LIMITS}
        server = services.create_server(
            actor=actor,
            owner=whose,
            name=name,
            template=chosen,
            region=_region(region or whose.region_preference),
            values=dict(_pair(text) for text in options["set"]),
            description=options["description"],
            published_ports=options["publish"],
            **limits,
        )
        self._wait_for(server, Operation.objects.filter(workload_id=server.pk).first(), **options)
        self._say_servers([find_server(str(server.pk), actor=actor)], **options)

    def _powers(self, verb: str, actor: Actor, *, servers: list[str], **options: Any) -> None:
        """All are found before any is touched; one that refuses does not keep the others from it."""
        found = [find_server(text, actor=actor) for text in servers]
        if verb == "delete" and not options["yes"]:
            self._ask(found)
        results = services.ask_many([server.pk for server in found], verb, actor=actor)
        code = 0
        for result in results:
            if result.problem or result.row is None:
                self.stderr.write(self.style.ERROR(f"{result.row}: {result.problem and result.problem.detail}"))
                code = REFUSED
                continue
            try:
                self._wait_for(result.row, result.value, **options)
            except HubError as error:
                self.stderr.write(self.style.ERROR(error.message))
                code = max(code, _exit_code(error))
        self._say_servers([result.row for result in results if result.row is not None], **options)
        if code:
            raise CommandError(f"Not every server could be asked to {verb}, or ended well.", returncode=code)

    def _log(self, actor: Actor, *, server: str, lines: int, **options: Any) -> None:
        stored = services.read_log(find_server(server, actor=actor), actor=actor)
        text = "\n".join(stored.text.splitlines()[-lines:] if lines > 0 else [])
        if options["json"]:
            self._say_json({"text": text, "captured_at": stored.captured_at})
        elif text:
            self.stdout.write(text)
        else:
            self.stderr.write("There is no output yet; its agent brings it while somebody asks.")

    def _command(self, actor: Actor, *, server: str, text: str, **options: Any) -> None:
        command = services.send_command(find_server(server, actor=actor), text, actor=actor)
        services.await_answer(command)
        if problem := services.problem(command):
            raise problem
        if options["json"]:
            self._say_json(CommandSerializer(command).data)
            return
        if answer := command.answer.reveal():
            self.stdout.write(answer)
        if command.is_cut:
            self.stderr.write("The answer was longer; the rest is not kept.")

    def _operations(self, actor: Actor, *, server: str, limit: int, **options: Any) -> None:
        found = find_server(server, actor=actor)
        rows = list(Operation.objects.filter(workload_id=found.pk).select_related("node")[:limit])
        if options["json"]:
            self._say_json(OperationSerializer(rows, many=True).data)
            return
        lines = [(row.created_at, row.verb, row.status, row.actor_name, row.seconds, row.error) for row in rows]
        self.stdout.write(table(OPERATION_HEADS, lines))

    def _wait_for(self, server: GameServer, operation: Operation | None, **options: Any) -> None:
        if options["wait"]:
            follow(server, operation, timeout=options["timeout"], say=self.stderr.write)

    def _ask(self, servers: list[GameServer]) -> None:
        if not sys.stdin.isatty():
            raise Invalid("Deleting takes all data along; say --yes.")
        names = ", ".join(server.name for server in servers)
        if input(f"Delete {names} with all data? Type yes: ").strip() != "yes":
            raise Invalid("Nothing was deleted.")

    def _say_servers(self, servers: list[GameServer], **options: Any) -> None:
        if options["json"]:
            self._say_json(ServerSerializer(servers, many=True).data)
            return
        rows = [
            (row.pk, row.name, row.owner.username, row.observed_status, row.address, row.template.slug, row.node.name)
            for row in servers
        ]
        self.stdout.write(table(HEADS, rows))

    def _say_json(self, value: Any) -> None:
        self.stdout.write(json.dumps(value, cls=DjangoJSONEncoder, indent=2, ensure_ascii=False))

    @staticmethod
    def _actor(login: str | None) -> Actor:
        if not login:
            return SYSTEM
        user = _user(login)
        if not user.can_act:
            raise NotAllowed(f"The account of {user} is closed or suspended.")
        return user


def _count(text: str) -> int:
    """How many rows, as PostgreSQL takes it."""
    if not text.isdecimal() or not 0 < int(text) < 2**31:
        raise ArgumentTypeError(f"{text} is not a whole number from 1 on")
    return int(text)


def _user(login: str) -> User:
    user = User.objects.named(login)
    if user is None:
        raise Invalid(f"There is no user {login}.")
    return user


def _region(slug: str) -> Region:
    """The one of this name; without a name the only one that takes servers."""
    regions = Region.objects.filter(is_enabled=True)
    found = list(regions.filter(slug=slug) if slug else regions[:2])
    if len(found) != 1:
        raise Invalid(f"There is no region {slug}." if slug else "Say where: --region.", field="region")
    return found[0]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise Invalid(f"--set takes KEY=VALUE, not {text}.")
    return key, value


def _exit_code(error: HubError) -> int:
    return TOO_LATE if error.code == "timeout" else REFUSED
