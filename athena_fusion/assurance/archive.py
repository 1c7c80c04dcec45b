"""The evidence pack as a set of files: its fixed names, its folder and ZIP forms, and their safe reading.

The ZIP is stored, not compressed, and has no time stamps: one set of files has one archive, byte for byte, on every
machine and with every zlib, so that the archive itself can be checked to be nothing but the files.
"""

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from athena_fusion.storage.artifacts import ArtifactError, check_path

PACK_FLOW = "evidence"
"""The flow under which packs are signed, with the day unit."""

JWKS = "jwks.json"
SUMS = "SHA256SUMS"
EXTERNAL = "external.json"
RECONCILIATION = "reconciliation.json"
DECISIONS = "decisions.json"
CHECKPOINT = "audit/checkpoint.json"
SUMMARY = "summary.html"
README = "README.txt"
VERIFIERS = ("verify.sh", "verify-openssl.sh")
DECISIONS_TYP = "athena-fusion-decisions+jws"
DECISIONS_CTY = "application/json"

_MAX_FILES = 100_000
_FIRST_TIME = (1980, 1, 1, 0, 0, 0)
_SLICE = 1 << 20


class PackRefused(Exception):
    """A pack that is not even opened: hostile or broken as a container. `file` is what is to blame."""

    def __init__(self, file: str, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason


class PackFiles(Protocol):
    """The files of a pack by their names from its root."""

    def names(self) -> list[str]:
        """All names, sorted."""
        ...

    def size(self, name: str) -> int:
        """The length of one file in bytes."""
        ...

    def open(self, name: str) -> BinaryIO:
        """The bytes of one file."""
        ...


def pack_path(manifest_path: str) -> str:
    """Where a manifest of the store stands in the pack: `<unit>/<flow>/manifests/<file>`."""
    return manifest_path.split("/", 2)[2]


def payload_path(manifest: str, subject: str) -> str:
    """Where a carried subject of the manifest at pack path `manifest` stands."""
    return f"{manifest.rsplit('/manifests/', 1)[0]}/payload/{subject}"


def write_zip(target: BinaryIO, files: PackFiles) -> None:
    """Write the one archive that these files have."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in files.names():
            info = zipfile.ZipInfo(name, _FIRST_TIME)
            info.file_size = files.size(name)
            info.create_system = 3  # Unix, so that the mode counts
            info.external_attr = (0o100755 if name.endswith(".sh") else 0o100644) << 16
            with files.open(name) as source, archive.open(info, "w") as entry:
                shutil.copyfileobj(source, entry, _SLICE)


@contextmanager
def open_pack(path: Path) -> Iterator[PackFiles]:
    """The files of the folder or ZIP at `path`. Raises `PackRefused`."""
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        with path.open("rb") as handle, zipfile.ZipFile(handle) as archive:
            files = _Zip(path.name, archive, path.stat().st_size)
            _check_canonical(path, files)
            yield files
    except OSError as error:
        raise PackRefused(path.name, f"cannot be read ({type(error).__name__})") from None
    except (zipfile.BadZipFile, NotImplementedError, ValueError, EOFError) as error:
        raise PackRefused(path.name, f"not a sound ZIP file ({error})") from None


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._names: list[str] = []
        for found in root.rglob("*"):
            mode = found.lstat().st_mode
            name = found.relative_to(root).as_posix()
            if stat.S_ISDIR(mode):
                continue
            if not stat.S_ISREG(mode):
                raise PackRefused(name, "is a link or a special file")
            self._names.append(_checked(name))

    def names(self) -> list[str]:
        return sorted(self._names)

    def size(self, name: str) -> int:
        return (self._root / name).stat().st_size

    def open(self, name: str) -> BinaryIO:
        return (self._root / name).open("rb")


class _Zip:
    def __init__(self, file_name: str, archive: zipfile.ZipFile, size: int) -> None:
        self._archive = archive
        entries = archive.infolist()
        if len(entries) > _MAX_FILES:
            raise PackRefused(file_name, f"has {len(entries)} entries")
        # Stored entries that do not overlap cannot be larger than their archive: no bombs.
        if sum(entry.file_size for entry in entries) > size:
            raise PackRefused(file_name, "its entries are larger than the archive")
        seen: set[str] = set()
        for entry in entries:
            name = _checked(entry.filename)
            if name in seen:
                raise PackRefused(name, "stands twice in the archive")
            seen.add(name)
            if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
                raise PackRefused(name, "is compressed; packs are stored as they are")
            if entry.flag_bits & 0x1 or not stat.S_ISREG(entry.external_attr >> 16):
                raise PackRefused(name, "is encrypted, a link or a special file")

    def names(self) -> list[str]:
        return sorted(self._archive.namelist())

    def size(self, name: str) -> int:
        return self._archive.getinfo(name).file_size

    def open(self, name: str) -> BinaryIO:
        return cast(BinaryIO, self._archive.open(name))


def _checked(name: str) -> str:
    try:
        return check_path(name)
    except ArtifactError:
        raise PackRefused(repr(name), "is not a safe file name") from None


def _check_canonical(path: Path, files: _Zip) -> None:
    """Refuse an archive that holds anything besides its files: other headers, comments, bytes before or between."""
    with tempfile.TemporaryFile() as rebuilt, path.open("rb") as given:
        write_zip(cast(BinaryIO, rebuilt), files)
        rebuilt.seek(0)
        while True:
            expected, found = rebuilt.read(_SLICE), given.read(_SLICE)
            if expected != found:
                raise PackRefused(path.name, "the archive is not the one that its files make")
            if not expected:
                return
