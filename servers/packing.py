"""Pack a program of this machine with all it needs into a file system for a container, without any registry.

What a dynamic program loads is what `ldd` says; what else it reads comes as whole directories, or as the files of its
Debian package. Everything keeps its path, belongs to root, and can be read by every user.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

TOOL_SECONDS = 30
LIBRARY = re.compile(r"(?:=>\s+)?(/\S+)\s+\(0x")
EMPTY_DIRECTORIES = ("tmp", "data", "proc", "sys", "dev", "etc")
PASSWD = b"root:x:0:0::/:/bin/sh\nworkload:x:1000:1000::/data:/bin/sh\n"
UNNEEDED_MODULES = frozenset(
    {"test", "tests", "idlelib", "tkinter", "turtledemo", "ensurepip", "lib2to3", "distutils", "pydoc_data", "venv"}
    | {"site-packages", "dist-packages"}
)
UNNEEDED_FILES = (
    "/usr/share/doc",
    "/usr/share/man",
    "/usr/share/locale",
    "/usr/share/lintian",
    "/etc/",
    "/lib/",
    "/var/",
)
PYTHON_FACTS = "import json,sys,sysconfig; print(json.dumps([sys.executable, sysconfig.get_path('stdlib')]))"


class CannotPackError(Exception):
    """This machine lacks what packing needs; the message is for people."""


class Packer:
    """A tar archive in the making."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self.tar = tar
        self.packed: set[str] = set()
        for name in EMPTY_DIRECTORIES:
            self._directory(name)
        self.add_bytes("/etc/passwd", PASSWD)

    def add_bytes(self, path: str, data: bytes) -> None:
        """Add a file with this content."""
        entry = tarfile.TarInfo(path.lstrip("/"))
        entry.size, entry.mode = len(data), 0o644
        self.packed.add(path)
        self.tar.addfile(entry, io.BytesIO(data))

    def add_programs(self, programs: Sequence[str | Path]) -> None:
        """Add programs and libraries with the libraries that they load."""
        self.add_files([*map(Path, programs), *_libraries(programs)])

    def add_files(self, paths: Iterable[Path]) -> None:
        """Add files; a link, also one among the directories above, is followed by its name in the archive."""
        for path in paths:
            self._add(path)

    def add_tree(self, top: Path, *, without: frozenset[str] = frozenset()) -> None:
        """Add a directory, except for what lies in directories of these names."""
        for directory, names, files in os.walk(top):
            names[:] = [name for name in names if name not in without and not name.startswith("config-")]
            self.add_files(Path(directory, name) for name in files)

    def _add(self, path: Path) -> None:
        if str(path) in self.packed or path.is_dir():
            return
        self.packed.add(str(path))
        entry = self.tar.gettarinfo(str(path), arcname=str(path).lstrip("/"))
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        if entry.issym():
            entry.linkname = str(path.resolve())  # one hop, whatever chain it is here
            self.tar.addfile(entry)
            self._add(path.resolve())
            return
        entry.type, entry.linkname = tarfile.REGTYPE, ""  # hard links, too, become files of their own
        entry.size = path.stat().st_size
        entry.mode = 0o755 if entry.mode & 0o111 else 0o644
        with path.open("rb") as file:
            self.tar.addfile(entry, file)

    def _directory(self, name: str) -> None:
        entry = tarfile.TarInfo(name)
        entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
        self.tar.addfile(entry)


def pack_python(packer: Packer, python: str) -> str:
    """Add an interpreter with its standard library; answers its path."""
    executable, library = json.loads(_run([python, "-I", "-c", PYTHON_FACTS]))
    executable = str(Path(executable).resolve())
    packer.add_tree(Path(library), without=UNNEEDED_MODULES)
    packer.add_programs([executable, *sorted(Path(library, "lib-dynload").glob("*.so"))])
    return executable


def pack_debian_program(packer: Packer, program: str) -> None:
    """Add a program of a Debian package, the package's files, and those of its sister packages (such as its data)."""
    package = _package(program)
    stem = package.partition("-")[0]
    depends = _run(["dpkg-query", "--show", "--showformat=${Depends}", package])
    sisters = [name for name in re.findall(r"(?:^|,)\s*([a-z0-9.+-]+)", depends) if name.partition("-")[0] == stem]
    files = [Path(line) for line in _run(["dpkg-query", "--listfiles", package, *sisters]).split("\n") if line]
    packer.add_files(path for path in files if path.is_file() and not str(path).startswith(UNNEEDED_FILES))
    packer.add_programs([program, "/bin/sh"])


def debian_version(program: str) -> str:
    """The version of the package that a program came with."""
    return _run(["dpkg-query", "--show", "--showformat=${Version}", _package(program)])


def _package(program: str) -> str:
    return _run(["dpkg-query", "--search", program]).partition(":")[0]


def _libraries(programs: Sequence[str | Path]) -> list[Path]:
    """Every library that these programs load, the loader among them; static programs have none."""
    listed = _run(["ldd", *map(str, programs)], may_fail=True)
    return [Path(path) for path in dict.fromkeys(LIBRARY.findall(listed))]


def _run(command: Sequence[str], *, may_fail: bool = False) -> str:
    if shutil.which(command[0]) is None:
        raise CannotPackError(f"{command[0]} is not on this machine.")
    try:
        done = subprocess.run(
            command, check=not may_fail, capture_output=True, text=True, timeout=TOOL_SECONDS, env={"LC_ALL": "C"}
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CannotPackError(str(error)) from error
    return done.stdout
