"""The commands behind the Makefile."""

import argparse
import sys

from . import bootstrap, up, watch
from .console import Console
from .errors import LaunchError, full_disk, is_full_disk
from .place import Place
from .tools import TOOLS, run_tool


def main(arguments: list[str] | None = None) -> int:
    """Run one command; what stops it is one sentence on standard error and an exit code that is not 0."""
    chosen, rest = _parser().parse_known_args(arguments)
    if rest and chosen.command not in TOOLS:
        _parser().error(f"{chosen.command} does not know {' '.join(rest)}")
    console = Console()
    try:
        place = Place.from_environment()
        return _dispatch(chosen, rest, place, console)
    except LaunchError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        if not is_full_disk(error):
            raise
        print(full_disk(error), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make", description="Run Kutanga Hub on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    start = commands.add_parser("up", help="start the hub and everything it needs")
    start.add_argument("--detach", action="store_true", help="return once everything is ready")
    commands.add_parser("down", help="stop the hub")
    commands.add_parser("status", help="what runs, since when, and how it feels")
    follow = commands.add_parser("logs", help="follow the logs")
    follow.add_argument("name", nargs="?", default="", help="one log instead of all")
    follow.add_argument("--no-follow", action="store_true", help="print the last lines and return")
    delete = commands.add_parser("reset", help="delete all data, after asking")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    commands.add_parser("install", help="install packages and front-end files for development")
    for name in TOOLS:
        commands.add_parser(name, add_help=False, help="a tool; what follows is given to it")
    return parser


def _dispatch(chosen: argparse.Namespace, rest: list[str], place: Place, console: Console) -> int:
    match chosen.command:
        case "up":
            return up.up(place, console, detach=chosen.detach)
        case "down":
            return up.down(place, console)
        case "status":
            return watch.status(place, console)
        case "logs":
            return watch.logs(place, console, chosen.name, follow=not chosen.no_follow)
        case "reset":
            return up.reset(place, console, sure=chosen.yes)
        case "install":
            bootstrap.prepare(place, console, development=True)
            return 0
        case name:
            return run_tool(name, rest, place, console)


if __name__ == "__main__":
    sys.exit(main())
