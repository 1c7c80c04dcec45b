"""Hands the evidence pack over and publishes its head outside the store.

Targets are a folder, an S3 bucket or mail. Repeating a delivery changes nothing: folders and buckets are compared
with what stands there and never overwritten; a mail that was sent leaves a receipt in the store and carries a
Message-ID made of the head, so that a second copy (after a crash between the two) is recognised by the reader.
"""

import hashlib
import re
import smtplib
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Protocol

import rfc8785

from athena_fusion.assurance.pack import PackResult
from athena_fusion.storage.artifacts import ArtifactImmutable, ArtifactStore, sha256_hex
from athena_fusion.trust.audit import AuditLog
from athena_fusion.trust.secrets import SecretRef

_MAIL_SECONDS = 60
_S3_URL = re.compile(r"s3://([a-z0-9.-]{3,63})(?:/(.*?))?/?")


class PublishError(Exception):
    """A delivery that did not happen or cannot be proven; the message says what stands and what to do."""


@dataclass(frozen=True)
class Delivery:
    """What is delivered: a file, and the lines that a mail says about it."""

    name: str
    data: bytes
    media_type: str
    key: str
    subject: str
    text: str


class Target(Protocol):
    """A place outside that takes one file once."""

    def describe(self) -> str:
        """The place in words, without credentials."""
        ...

    def put(self, delivery: Delivery, store: ArtifactStore) -> None:
        """Deliver, or make sure that it was delivered. Raises `PublishError`."""
        ...


@dataclass(frozen=True)
class FolderTarget:
    """A folder, for example a mounted share with its own retention."""

    folder: Path

    def describe(self) -> str:
        return f"folder {self.folder}"

    def put(self, delivery: Delivery, store: ArtifactStore) -> None:  # noqa: ARG002 - the folder itself remembers
        try:
            ArtifactStore(self.folder).write_bytes(delivery.name, delivery.data, immutable=True)
        except ArtifactImmutable:
            raise _differs(delivery, self.describe()) from None
        except OSError as error:
            raise _failed(delivery, self.describe(), error) from None


@dataclass(frozen=True)
class S3Target:
    """A bucket and prefix. Objects are only created, never replaced; Object Lock is set on the bucket."""

    bucket: str
    prefix: str = ""

    def describe(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"

    def put(self, delivery: Delivery, store: ArtifactStore) -> None:  # noqa: ARG002 - the bucket itself remembers
        import boto3
        from botocore.exceptions import BotoCoreError, ClientError

        client: Any = boto3.client("s3")  # type: ignore[no-untyped-call]
        key = f"{self.prefix}/{delivery.name}".lstrip("/")
        try:
            client.put_object(
                Bucket=self.bucket,
                Key=key,
                Body=delivery.data,
                ContentType=delivery.media_type,
                IfNoneMatch="*",
                Metadata={"sha256": sha256_hex(delivery.data)},
            )
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "PreconditionFailed":
                raise _failed(delivery, self.describe(), error) from None
            digest = hashlib.sha256()
            for block in client.get_object(Bucket=self.bucket, Key=key)["Body"].iter_chunks(1 << 20):
                digest.update(block)
            if digest.hexdigest() != sha256_hex(delivery.data):
                raise _differs(delivery, self.describe()) from None
        except BotoCoreError as error:
            raise _failed(delivery, self.describe(), error) from None


@dataclass(frozen=True)
class SmtpTarget:
    """Mail by SMTP. `starttls` is off only for a relay on the same host."""

    host: str
    sender: str
    recipients: tuple[str, ...]
    port: int = 587
    starttls: bool = True
    user: str | None = None
    password: SecretRef | None = field(default=None)

    def describe(self) -> str:
        return f"mail to {', '.join(self.recipients)}"

    def put(self, delivery: Delivery, store: ArtifactStore) -> None:
        place = sha256_hex(self.describe().encode())[:16]
        receipt = f"evidence/receipts/{delivery.key}-{place}.json"
        if store.exists(receipt):
            return
        message = self._message(delivery)
        try:
            with smtplib.SMTP(self.host, self.port, timeout=_MAIL_SECONDS) as server:
                if self.starttls:
                    server.starttls(context=ssl.create_default_context())
                if self.user is not None and self.password is not None:
                    server.login(self.user, self.password.reveal())
                refused = server.send_message(message)
        except (smtplib.SMTPException, OSError) as error:
            raise _failed(delivery, self.describe(), error) from None
        if refused:
            raise PublishError(f"{delivery.name}: {len(refused)} recipients were refused; the others have it")
        note = {
            "messageId": message["Message-ID"],
            "sha256": sha256_hex(delivery.data),
            "to": self.describe(),
        }
        store.write_bytes(receipt, rfc8785.dumps(note))

    def _message(self, delivery: Delivery) -> EmailMessage:
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = ", ".join(self.recipients)
        message["Subject"] = delivery.subject
        message["Message-ID"] = f"<{delivery.key}@{self.sender.rsplit('@', 1)[-1]}>"
        message.set_content(delivery.text)
        kind, _, form = delivery.media_type.partition("/")
        message.add_attachment(delivery.data, maintype=kind, subtype=form, filename=delivery.name)
        return message


def parse_target(config: Mapping[str, object]) -> Target:
    """The target of a configuration: `{folder: path}`, `{s3: s3://bucket/prefix}` or
    `{smtp: {host, port, sender, recipients, starttls, username, password}}`, password as a secret reference.
    """
    if len(config) == 1:
        ((kind, value),) = config.items()
        if kind == "folder" and isinstance(value, str | Path):
            return FolderTarget(Path(value))
        if kind == "s3" and (match := _S3_URL.fullmatch(str(value))):
            return S3Target(match[1], match[2] or "")
        if kind == "smtp" and isinstance(value, Mapping):
            return _smtp(value)
    raise PublishError(
        f"a delivery is one of folder, s3 (s3://bucket/prefix) or smtp, not {', '.join(config)}"
    )


def deliver_pack(pack: PackResult, target: Target, *, store: ArtifactStore, audit: AuditLog) -> None:
    """Deliver the pack's ZIP. The disclosure is in the audit log first: `AuditUnavailable` means nothing left."""
    data = store.read_bytes(pack.path)
    if sha256_hex(data) != pack.sha256:
        raise PublishError(
            f"{pack.path} was changed after it was built; nothing was delivered. Build the pack again"
        )
    day = pack.business_date.isoformat()
    audit.append(
        "evidence.deliver", "ok", target=target.describe(), head=pack.head_sha256, sha256=pack.sha256
    )
    target.put(
        Delivery(
            name=pack.file_name,
            data=data,
            media_type="application/zip",
            key=f"evidence-{day}-a{pack.attempt}-{pack.head_sha256}",
            subject=f"Evidence {day}, issue {pack.attempt}, head {pack.head_sha256[:16]}",
            text=_text(pack) + "Keep this message: the head proves later that the pack was not replaced.\n",
        ),
        store,
    )


def publish_head(pack: PackResult, target: Target, *, store: ArtifactStore, audit: AuditLog) -> None:
    """Publish the pack's head, a file of some bytes, at a place that whoever changes the store cannot change."""
    day = pack.business_date.isoformat()
    document = {
        "attempt": pack.attempt,
        "businessDate": day,
        "headSha256": pack.head_sha256,
        "pack": pack.file_name,
        "packSha256": pack.sha256,
    }
    audit.append("evidence.publish", "ok", target=target.describe(), head=pack.head_sha256)
    target.put(
        Delivery(
            name=f"athena-fusion-head-{day}-a{pack.attempt}.json",
            data=rfc8785.dumps(document),  # type: ignore[arg-type] # texts and whole numbers
            media_type="application/json",
            key=f"head-{day}-a{pack.attempt}-{pack.head_sha256}",
            subject=f"Evidence head {day}, issue {pack.attempt}: {pack.head_sha256[:16]}",
            text=_text(pack),
        ),
        store,
    )


def _text(pack: PackResult) -> str:
    return (
        f"Business day  {pack.business_date.isoformat()}, issue {pack.attempt}\n"
        f"Pack          {pack.file_name}\n"
        f"SHA-256       {pack.sha256}\n"
        f"Head          {pack.head_sha256}\n\n"
    )


def _smtp(config: Mapping[str, object]) -> SmtpTarget:
    known = {"host", "port", "sender", "recipients", "starttls", "username", "password"}
    recipients = config.get("recipients")
    if isinstance(recipients, str):
        recipients = [recipients]
    if unknown := config.keys() - known:
        raise PublishError(f"smtp: unknown setting {', '.join(sorted(unknown))}")
    if (
        not config.get("host")
        or not config.get("sender")
        or not isinstance(recipients, Sequence)
        or not recipients
    ):
        raise PublishError("smtp needs host, sender and recipients")
    user, password = config.get("username"), config.get("password")
    return SmtpTarget(
        host=str(config["host"]),
        sender=str(config["sender"]),
        recipients=tuple(str(recipient) for recipient in recipients),
        port=int(str(config.get("port", 587))),
        starttls=config.get("starttls", True) is not False,
        user=None if user is None else str(user),
        password=None if password is None else SecretRef.parse(str(password)),
    )


def _failed(delivery: Delivery, place: str, error: Exception) -> PublishError:
    return PublishError(
        f"{delivery.name} was not delivered to {place} ({type(error).__name__}); run it again"
    )


def _differs(delivery: Delivery, place: str) -> PublishError:
    return PublishError(
        f"{place} already holds another {delivery.name}; nothing was replaced. Compare the two before anything else"
    )
