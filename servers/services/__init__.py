"""What people do with game servers: one function per verb, for pages, API, admin and commands alike."""

from .addresses import move_port, publish_port, unpublish_port
from .bulk import POWERS, ask_many
from .console import (
    LONGEST_COMMAND,
    Exchange,
    await_answer,
    carry_out,
    forget_commands,
    latest_commands,
    problem,
    send_command,
)
from .creation import Preview, create_server, preview_server
from .credentials import Credentials, reveal_credentials, rotate_credentials
from .power import delete_server, kill_server, restart_server, start_server, stop_server
from .settings import rename_server, resize_server, update_variables
from .state import allowed_actions, lock_for_change
from .suspension import suspend_server, unsuspend_server
from .templates import create_template, delete_template, refuse_programs, update_template
from .trials import follow_trials, try_template
from .watching import read_log

__all__ = [
    "LONGEST_COMMAND",
    "POWERS",
    "Credentials",
    "Exchange",
    "Preview",
    "allowed_actions",
    "ask_many",
    "await_answer",
    "carry_out",
    "create_server",
    "create_template",
    "delete_server",
    "delete_template",
    "follow_trials",
    "forget_commands",
    "kill_server",
    "latest_commands",
    "lock_for_change",
    "move_port",
    "preview_server",
    "problem",
    "publish_port",
    "read_log",
    "refuse_programs",
    "rename_server",
    "resize_server",
    "restart_server",
    "reveal_credentials",
    "rotate_credentials",
    "send_command",
    "start_server",
    "stop_server",
    "suspend_server",
    "try_template",
    "unpublish_port",
    "unsuspend_server",
    "update_template",
    "update_variables",
]
