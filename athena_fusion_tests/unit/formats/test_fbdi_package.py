"""The ZIP around the file: the same bytes everywhere, and nothing else accepted."""

import io
import zipfile

import pytest

from athena_fusion.formats.fbdi import package
from athena_fusion.formats.fbdi.layout import FbdiError
from athena_fusion.formats.fbdi.package import unzip_entry, zip_entry
from athena_fusion.storage.artifacts import sha256_hex

ENTRY = "GlInterface.csv"


def archive(*entries, **options):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", **options) as target:
        for name, data in entries:
            target.writestr(name, data)
    return out.getvalue()


def test_bytes_are_pinned():
    data = zip_entry(ENTRY, b"NEW,1\r\n")
    assert sha256_hex(data) == "d1f88fa512e167619c4d3a576a661c310893e279efe4faee62c240c707229300"
    assert b"NEW,1\r\n" in data  # stored: no compressor decides about our bytes


def test_round_trip_and_metadata():
    data = zip_entry(ENTRY, "é,END\r\n".encode())
    (info,) = zipfile.ZipFile(io.BytesIO(data)).infolist()
    assert (info.filename, info.date_time, info.external_attr) == (
        ENTRY,
        (1980, 1, 1, 0, 0, 0),
        0o100644 << 16,
    )
    assert unzip_entry(data, ENTRY) == "é,END\r\n".encode()


def test_deflated_zips_of_others_are_read():
    assert unzip_entry(archive((ENTRY, b"a" * 999), compression=zipfile.ZIP_DEFLATED), ENTRY) == b"a" * 999


@pytest.mark.parametrize(
    "data",
    [
        archive(("glinterface.csv", b"x")),
        archive((ENTRY, b"x"), ("job.properties", b"y")),
        archive((f"folder/{ENTRY}", b"x")),
        archive(),
    ],
)
def test_exactly_the_one_entry(data):
    with pytest.raises(FbdiError, match=r"not GlInterface\.csv alone"):
        unzip_entry(data, ENTRY)


def test_broken_zip():
    good = zip_entry(ENTRY, b"NEW,1\r\n")
    for bad in (b"", b"not a zip", good[:-30], good.replace(b"NEW,1", b"NEW,2")):
        with pytest.raises(FbdiError, match="not a readable ZIP"):
            unzip_entry(bad, ENTRY)


def test_size_limits(monkeypatch):
    big = zip_entry(ENTRY, b"x" * 11)
    monkeypatch.setattr(package, "MAX_BYTES", 10)
    with pytest.raises(FbdiError, match="11 bytes, at most 10"):
        zip_entry(ENTRY, b"x" * 11)
    with pytest.raises(FbdiError, match="larger than 10 bytes"):
        unzip_entry(big, ENTRY)


@pytest.mark.parametrize("name", ["", "a/b.csv", "..", "../a.csv", "a\\b.csv", "C:a.csv", "/a.csv"])
def test_entry_names_are_plain(name):
    with pytest.raises(FbdiError, match="plain file name"):
        zip_entry(name, b"")
