"""The ZIP around an FBDI file: one entry at the root, the same bytes on every machine."""

import io
import zipfile

from athena_fusion.formats.fbdi.layout import FbdiError

MAX_BYTES = 250_000_000
_FILE_MODE = 0o100644 << 16
_UNIX = 3
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time a ZIP can name


def zip_entry(entry: str, csv: bytes) -> bytes:
    """A ZIP holding `csv` under `entry`.

    The entry is stored, not deflated: compressors differ between library versions, and a repeated submission
    must send bytes of the same hash from any machine. Raises `FbdiError` for more than 250 MB.
    """
    if len(csv) > MAX_BYTES:
        raise FbdiError(f"{entry} has {len(csv)} bytes, at most {MAX_BYTES} are loaded; no ZIP was made")
    info = zipfile.ZipInfo(_plain(entry), _EPOCH)
    info.create_system = _UNIX
    info.external_attr = _FILE_MODE
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(info, csv)
    return out.getvalue()


def unzip_entry(data: bytes, entry: str) -> bytes:
    """The bytes of `entry`, which must be the only one. Raises `FbdiError` for anything else: a broken or
    encrypted ZIP, another or a second entry, a folder, a size above 250 MB."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = archive.namelist()
            if names != [_plain(entry)]:
                raise FbdiError(f"the ZIP holds {len(names)} entries, not {entry} alone; nothing was read")
            if archive.getinfo(entry).file_size > MAX_BYTES:
                raise FbdiError(f"{entry} is larger than {MAX_BYTES} bytes; nothing was read")
            return archive.read(entry)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError, OSError) as error:
        # RuntimeError is how zipfile reports an encrypted entry.
        raise FbdiError(f"not a readable ZIP ({type(error).__name__}); nothing was read") from error


def _plain(entry: str) -> str:
    if not entry or entry != entry.strip("./") or any(mark in entry for mark in "/\\:"):
        raise FbdiError(f"{entry!r} is not a plain file name; entries stand at the root of the ZIP")
    return entry
