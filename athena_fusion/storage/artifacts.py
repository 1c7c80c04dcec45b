"""Artifact store: bytes and frames under relative paths, on a local folder or an S3 bucket.

Every write is atomic (a reader sees the whole file or none) and returns the SHA-256 of the bytes written,
so that what is signed is what is on disk. Paths are `/`-separated, relative and free of `..`.
"""

import hashlib
import io
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.fs

pafs: Any = pyarrow.fs  # its compiled names have no types

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._=-]{0,179}")


class ArtifactError(Exception):
    """The store cannot do what was asked; the message names the path."""


class ArtifactMissing(ArtifactError):
    """No artifact at that path."""


class ArtifactImmutable(ArtifactError):
    """Other bytes already stand at a path that must never change."""


@dataclass(frozen=True)
class Artifact:
    """One stored file: relative path, SHA-256 of its bytes (hex) and length in bytes."""

    path: str
    sha256: str
    size: int


def sha256_hex(data: bytes) -> str:
    """SHA-256 of `data` as lower-case hex."""
    return hashlib.sha256(data).hexdigest()


def check_path(path: str) -> str:
    """The path itself if it is safe for stores, manifests and `sha256sum -c`; else `ArtifactError`."""
    if not path or not all(_SEGMENT.fullmatch(part) for part in path.split("/")):
        raise ArtifactError(f"unsafe artifact path {path!r}")
    return path


class ArtifactStore:
    """Files under one root: a local folder, or `s3://bucket/prefix`."""

    def __init__(self, root: str | Path) -> None:
        text = str(root)
        self._local = "://" not in text
        if self._local:
            base = Path(text).absolute()
            base.mkdir(parents=True, exist_ok=True)
            self._fs = pafs.LocalFileSystem()
            self._root = str(base)
        else:
            self._fs, self._root = pafs.FileSystem.from_uri(text)
        self.root = text

    def _full(self, path: str) -> str:
        return f"{self._root}/{check_path(path)}"

    def write_bytes(self, path: str, data: bytes, *, immutable: bool = False) -> Artifact:
        """Store `data` atomically. With `immutable`, equal bytes are accepted and others refused."""
        full = self._full(path)
        digest = sha256_hex(data)
        if immutable and self.exists(path):
            if sha256_hex(self.read_bytes(path)) != digest:
                raise ArtifactImmutable(f"{path} already holds other bytes; nothing was written")
            return Artifact(path, digest, len(data))
        if self._local:
            target = Path(full)
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{uuid.uuid4().hex}.partial")
            with partial.open("wb") as handle:
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            partial.replace(target)
        else:  # an object appears whole or not at all
            with self._fs.open_output_stream(full) as stream:
                stream.write(data)
        return Artifact(path, digest, len(data))

    def read_bytes(self, path: str) -> bytes:
        """All bytes, or `ArtifactMissing`."""
        try:
            with self._fs.open_input_stream(self._full(path), compression=None) as stream:
                data: bytes = stream.read()
                return data
        except FileNotFoundError as error:
            raise ArtifactMissing(f"no artifact at {path}") from error

    def exists(self, path: str) -> bool:
        """Whether a file stands at `path`."""
        return bool(self._fs.get_file_info(self._full(path)).type == pafs.FileType.File)

    def list(self, prefix: str) -> list[str]:
        """Relative paths of all files below the folder `prefix`, sorted; empty if there is none."""
        selector = pafs.FileSelector(self._full(prefix), recursive=True, allow_not_found=True)
        offset = len(self._root) + 1
        return sorted(
            info.path[offset:]
            for info in self._fs.get_file_info(selector)
            if info.type == pafs.FileType.File and not info.base_name.startswith(".")
        )

    @contextmanager
    def local_folder(self, prefix: str) -> Iterator[Path]:
        """The files below `prefix` as a local folder to read from; a copy that goes away where they are remote."""
        if self._local:
            folder = Path(self._full(prefix))
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
            return
        with tempfile.TemporaryDirectory() as place:
            for path in self.list(prefix):
                target = Path(place, path[len(prefix) + 1 :])
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(self.read_bytes(path))
            yield Path(place)

    def read_frame(self, path: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The Parquet frame at `path`."""
        return pl.read_parquet(io.BytesIO(self.read_bytes(path)), columns=list(columns) if columns else None)
