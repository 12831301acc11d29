"""The viewer's foreign part, niivue: one script of its npm package, fetched when medsynth is built, never when it runs.

    python -m medsynth.view.niivue

The package comes from the npm registry that npm is set to, or from the file that MEDSYNTH_NIIVUE names. Its digest is
written here, so that no other bytes can take its place.
"""

import base64
import binascii
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from medsynth.errors import MedsynthError
from medsynth.files import write_bytes

PACKAGE = "@niivue/niivue"
VERSION = "0.69.0"
INTEGRITY = "sha512-YMjQvJgD1W2b7DuoxkwlC4VxbrgIePRJ5qyQzXKxi2v2MBVg285P/CIQyg46oDDGDIcaNlbd+MhtO/edMbXJkA=="
"""Of the package, as npm writes it."""
MEMBER = "package/dist/index.js"
STATIC = Path(__file__).parent / "static"
SCRIPT = STATIC / "niivue.js"
_HEAD = f"/*! niivue {VERSION}, BSD-2-Clause: see niivue-LICENSE.txt */\n"
_WAY_OUT = (
    f"with npm, or with NPM_CONFIG_REGISTRY, or with MEDSYNTH_NIIVUE=FILE, the package {PACKAGE} {VERSION} as a .tgz"
)


def script() -> Path:
    """Where niivue's script lies.

    Raises:
        MedsynthError: this medsynth was installed without it, or with that of another version.
    """
    try:
        with SCRIPT.open(encoding="utf-8") as file:
            fine = file.readline() == _HEAD
    except OSError:
        fine = False
    if not fine:
        raise MedsynthError(
            f"the viewer's script niivue {VERSION} is not installed: "
            f"`{Path(sys.executable).name} -m medsynth.view.niivue` fetches it once, {_WAY_OUT}"
        )
    return SCRIPT


def fetch(target: Path = SCRIPT) -> bool:
    """Put niivue's script to `target`, unless it is there.

    Returns:
        Whether it was fetched.

    Raises:
        MedsynthError: no registry answers, or the package is not the one whose digest is known.
    """
    if target.is_file() and target.read_bytes().startswith(_HEAD.encode()):
        return False
    named = os.environ.get("MEDSYNTH_NIIVUE")
    named = None if named == "required" else named
    write_bytes(target, _HEAD.encode() + extract(_from_file(Path(named)) if named else _from_registry()))
    return True


def extract(package: bytes, integrity: str = INTEGRITY) -> bytes:
    """The script out of a package whose digest fits.

    Args:
        package: bytes of the .tgz.
        integrity: "sha512-" and the digest in base 64.

    Raises:
        MedsynthError: other bytes, or no such script in them.
    """
    try:
        wanted = base64.b64decode(integrity.removeprefix("sha512-"), validate=True)
    except binascii.Error:
        wanted = b""
    if hashlib.sha512(package).digest() != wanted:
        raise MedsynthError(f"the package of niivue is not version {VERSION} as its digest says: nothing was installed")
    try:
        with tarfile.open(fileobj=io.BytesIO(package), mode="r:gz") as archive:
            member = archive.extractfile(MEMBER)
            if member is None:
                raise KeyError
            return member.read()
    except (tarfile.TarError, KeyError, OSError):
        raise MedsynthError(f"the package of niivue holds no {MEMBER}") from None


def _from_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise MedsynthError("MEDSYNTH_NIIVUE names no file that can be read") from None


def _from_registry() -> bytes:
    registry = os.environ.get("NPM_CONFIG_REGISTRY")
    npm = shutil.which("npm")
    if npm is not None:
        return _packed(npm)
    if not registry:
        raise MedsynthError(f"niivue {VERSION} can be fetched {_WAY_OUT}")
    url = f"{registry.rstrip('/')}/{PACKAGE}/-/{PACKAGE.rpartition('/')[2]}-{VERSION}.tgz"
    if not url.startswith(("https://", "http://")):
        raise MedsynthError("NPM_CONFIG_REGISTRY is no http or https address")
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            found: bytes = answer.read()
            return found
    except (urllib.error.URLError, OSError, ValueError):
        raise MedsynthError(f"the npm registry did not give {PACKAGE} {VERSION}; try again, {_WAY_OUT}") from None


def _packed(npm: str) -> bytes:
    """What `npm pack` brings: it knows proxies, certificates and keys of its registry."""
    with tempfile.TemporaryDirectory(prefix="medsynth-") as scratch:
        words = [npm, "pack", f"{PACKAGE}@{VERSION}", "--json", "--pack-destination", scratch]
        try:
            done = subprocess.run(words, cwd=scratch, capture_output=True, text=True, timeout=300, check=True)
            (told,) = json.loads(done.stdout)
            (found,) = Path(scratch).glob("*.tgz")
            if told["version"] != VERSION:
                raise ValueError
            return found.read_bytes()
        except (subprocess.SubprocessError, OSError, ValueError, KeyError, TypeError):
            raise MedsynthError(f"npm did not give {PACKAGE} {VERSION}; try again, {_WAY_OUT}") from None


def main() -> int:
    """Fetch it and say so."""
    try:
        print(f"niivue {VERSION}: {'fetched' if fetch() else 'is there already'}")
    except MedsynthError as error:
        print(f"medsynth: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
