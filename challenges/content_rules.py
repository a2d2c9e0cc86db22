"""What makes a challenge, its containers and its flags acceptable, for the admin, the API and the pages alike."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import regex
from django.core.exceptions import ValidationError

from .choices import FlagKind, Scoring

if TYPE_CHECKING:
    from .models import Challenge, ChallengeContainer, Flag

PLACEHOLDER = "flag_placeholder"
LONGEST_ANSWER = 500
MOST_TAGS = 20
VARIABLE_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,59}")
CAPABILITY = re.compile(r"[A-Z][A-Z_]{2,30}")
ABSOLUTE = re.compile(r"/[^\0]{1,199}")
RESERVED_NAMES = frozenset({"localhost", "hub"})


def clean_challenge(challenge: Challenge) -> None:
    """Raise ValidationError with every field at fault."""
    errors: dict[str, str] = {}
    tags = challenge.tags
    if not isinstance(tags, list) or not all(isinstance(tag, str) and 0 < len(tag) <= 40 for tag in tags):
        errors["tags"] = "Tags are a list of short texts."
    elif len(tags) > MOST_TAGS:
        errors["tags"] = f"At most {MOST_TAGS} tags."
    if not challenge.category.strip() or not challenge.category.isprintable():
        errors["category"] = "Name a category."
    if challenge.scoring != Scoring.STATIC:
        if challenge.minimum_points > challenge.points:
            errors["minimum_points"] = "The least value is above the first."
        if challenge.decay < 1:
            errors["decay"] = "Say how fast the value falls."
    if errors:
        raise ValidationError(errors)


def clean_container(container: ChallengeContainer) -> None:
    """Raise ValidationError with every field at fault."""
    errors: dict[str, str] = {}
    if not isinstance(container.command, list) or not all(isinstance(word, str) for word in container.command):
        errors["command"] = "A command is a list of texts."
    if not isinstance(container.env, dict) or not all(
        VARIABLE_NAME.fullmatch(str(name)) and isinstance(text, str) for name, text in container.env.items()
    ):
        errors["env"] = "The environment is a table of names in capitals and texts."
    if not _are_paths(container.writable_paths):
        errors["writable_paths"] = "Writable paths are a list of absolute directories."
    if not isinstance(container.capabilities, list) or not all(
        isinstance(name, str) and CAPABILITY.fullmatch(name) for name in container.capabilities
    ):
        errors["capabilities"] = "Capabilities are a list of names such as NET_ADMIN."
    if not container.is_main and (container.capabilities or container.is_privileged):
        errors["capabilities"] = "Only the main container gets more than the usual powers, no sidecar."
    if container.name in RESERVED_NAMES:
        errors["name"] = "This name is reserved."
    if container.health_path and not container.health_path.startswith("/"):
        errors["health_path"] = "A path begins with a slash."
    if not container.image.strip() or re.search(r"\s", container.image):
        errors["image"] = "Name an image."
    if errors:
        raise ValidationError(errors)


def clean_flag(flag: Flag) -> None:
    """Raise ValidationError with every field at fault; no message repeats the answer."""
    errors: dict[str, str] = {}
    content = flag.content.reveal() if flag.content else ""
    if not content.strip():
        errors["content"] = "The answer is missing."
    elif len(content) > LONGEST_ANSWER:
        errors["content"] = f"At most {LONGEST_ANSWER} characters."
    elif flag.kind == FlagKind.TEAM and content.count(PLACEHOLDER) != 1:
        errors["content"] = (
            f"The template of a team's flag holds {PLACEHOLDER} once, such as crypto-TRI{{{PLACEHOLDER}}}."
        )
    elif flag.kind == FlagKind.REGEX:
        try:
            regex.compile(content)
        except regex.error:
            errors["content"] = "This is not a regular expression."
    if flag.plant_env and not VARIABLE_NAME.fullmatch(flag.plant_env):
        errors["plant_env"] = "The name of a variable has capital letters, digits and underscores."
    if flag.plant_path and not _are_paths([flag.plant_path]):
        errors["plant_path"] = "Name the file by its absolute path."
    if (flag.plant_env or flag.plant_path) and flag.kind == FlagKind.REGEX:
        errors["plant_env"] = "A regular expression cannot be planted."
    if flag.container_id and flag.container is not None and flag.container.challenge_id != flag.challenge_id:
        errors["container"] = "This container is another challenge's."
    if errors:
        raise ValidationError(errors)


def _are_paths(paths: Any) -> bool:
    return isinstance(paths, list) and all(
        isinstance(path, str) and ABSOLUTE.fullmatch(path) and ".." not in path.split("/") for path in paths
    )
