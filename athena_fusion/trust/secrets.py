"""Secrets by reference: configuration names where a secret lives, never the secret itself."""

import os
import re
import threading
from pathlib import Path
from typing import Any

_REFERENCE = re.compile(r"(env|file|awssm):(.+)", re.DOTALL)


class SecretError(Exception):
    """A secret reference that cannot be read; the message names the place and never a value."""


class SecretRef:
    """Where a secret is kept: `env:NAME`, `file:path` or `awssm:arn#key` (AWS Secrets Manager).

    A file is read again when it changes, so that a rotated secret is used without a restart.
    `repr` and `str` show the place only.
    """

    def __init__(self, scheme: str, place: str) -> None:
        self._scheme = scheme
        self._place = place
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._value = ""

    @classmethod
    def parse(cls, text: str) -> "SecretRef":
        """The reference in `text`; `SecretError` for anything else, without repeating it."""
        match = _REFERENCE.fullmatch(text.strip())
        if match is None:  # most likely the secret itself was typed in
            raise SecretError("a secret is given as env:NAME, file:path or awssm:arn#key, never as its value")
        return cls(match[1], match[2])

    def reveal(self) -> str:
        """The secret, without a trailing line end. `SecretError` if it is absent or empty."""
        if self._scheme == "env":
            value = os.environ.get(self._place, "")
        elif self._scheme == "file":
            value = self._read_file()
        else:
            value = self._read_aws()
        value = value.rstrip("\r\n")
        if not value:
            raise SecretError(f"{self} is absent or empty; nothing was sent. Provide it and run again")
        return value

    def _read_file(self) -> str:
        path = Path(self._place)
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            with self._lock:
                if stamp != self._stamp:
                    self._value = path.read_text(encoding="utf-8")
                    self._stamp = stamp
                return self._value
        except (OSError, UnicodeDecodeError) as error:
            raise SecretError(f"{self} cannot be read ({type(error).__name__}); nothing was sent") from None

    def _read_aws(self) -> str:
        import json

        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        arn, _, key = self._place.partition("#")
        try:
            client: Any = boto3.client("secretsmanager")  # type: ignore[no-untyped-call]
            text = str(client.get_secret_value(SecretId=arn)["SecretString"])
            return str(json.loads(text)[key]) if key else text
        except (BotoCoreError, ClientError, KeyError, ValueError) as error:
            raise SecretError(f"{self} cannot be read ({type(error).__name__}); nothing was sent") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretRef) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __repr__(self) -> str:
        return f"SecretRef({self._scheme}:{self._place})"

    __str__ = __repr__
