"""Images that the hub makes itself, from what is installed on its machine, so that containers need no registry.

Besides `latest` each carries a tag that changes with its content: it tells whether the image is up to date, and that it
was made here.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hub.engines.base import Engine

from . import programs
from .choices import LOCAL_REGISTRY
from .models import Template
from .packing import CannotPackError, Packer, debian_version, pack_debian_program, pack_python

logger = logging.getLogger(__name__)

SAMPLE_IMAGE = f"{LOCAL_REGISTRY}kutanga/sample"
SAMPLE_PATH = "/opt/kutanga/sample-server.py"
EDITION = 1  # of the way images are made
OUR_TAG = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True)
class Recipe:
    """An image in the making: what it is called, what it depends on, and how it is packed (answering its command)."""

    image: str
    content: Sequence[str]
    pack: Callable[[Packer], Sequence[str]]

    @property
    def tag(self) -> str:
        return hashlib.sha256(json.dumps([EDITION, *self.content]).encode()).hexdigest()[:12]


def provide_sample(engine: Engine) -> str:
    """Have the sample server's image on this machine; says why it cannot be, or ""."""
    try:
        provide(engine, _sample_recipe())
    except CannotPackError as problem:
        return f"The sample server's image cannot be made here: {problem}"
    return ""


def provide_all(engine: Engine) -> list[str]:
    """Make or renew the images of all templates that can be made here; says what was made."""
    recipes = [_sample_recipe()]
    for template in Template.objects.filter(image__startswith=LOCAL_REGISTRY).exclude(process_program=""):
        if Path(template.process_program).exists():
            recipes.append(_program_recipe(template.image, template.process_program))
    made = []
    for recipe in recipes:
        try:
            if provide(engine, recipe):
                made.append(f"image {recipe.image}")
        except CannotPackError as problem:
            logger.warning("the image %s cannot be made here: %s", recipe.image, problem)
    return made


def provide(engine: Engine, recipe: Recipe) -> bool:
    """Make an image unless it is there; one that somebody else has put there stays. Says whether it was made."""
    prefix = f"{recipe.image}:"
    here = [(name, image) for image in engine.images() for name in image.names]
    same = {name.removeprefix(prefix): image for name, image in here if name.startswith(prefix)}
    ours = {tag: image.id for tag, image in same.items() if OUR_TAG.fullmatch(tag)}
    if "latest" in same and (recipe.tag in ours or same["latest"].id not in ours.values()):
        return False
    with tempfile.TemporaryDirectory(prefix="kutanga-image-") as directory:
        archive = Path(directory, "root.tar")
        with tarfile.open(archive, "w") as tar:
            command = recipe.pack(Packer(tar))
        engine.import_image(archive, [f"{prefix}latest", f"{prefix}{recipe.tag}"], command=command)
    present = {image.id for image in engine.images() if f"{prefix}latest" in image.names}
    engine.remove_images([old for old in ours.values() if old not in present])
    return True


def _sample_recipe() -> Recipe:
    source = programs.SAMPLE_SOURCE.read_bytes()
    python = programs.python()

    def pack(packer: Packer) -> Sequence[str]:
        packer.add_bytes(SAMPLE_PATH, source)
        return [pack_python(packer, python), "-I", SAMPLE_PATH]

    return Recipe(SAMPLE_IMAGE, [hashlib.sha256(source).hexdigest(), str(Path(python).resolve())], pack)


def _program_recipe(image: str, program: str) -> Recipe:
    def pack(packer: Packer) -> Sequence[str]:
        pack_debian_program(packer, program)
        return [program]

    return Recipe(image, [program, debian_version(program)], pack)
