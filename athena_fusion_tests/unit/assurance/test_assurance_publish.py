"""Packs and heads reach folder, bucket and mail once, and never replace what stands there."""

import json
from email import message_from_bytes
from email.policy import default

import boto3
import pytest
from aiosmtpd.controller import Controller
from pack_world import make_pack
from sqlalchemy import text

from athena_fusion.assurance.publish import (
    FolderTarget,
    PublishError,
    S3Target,
    SmtpTarget,
    deliver_pack,
    parse_target,
    publish_head,
)
from athena_fusion.trust.audit import AuditUnavailable
from athena_fusion.trust.secrets import SecretRef

ZIP = "athena-fusion-evidence-2026-09-15-a1.zip"
HEAD = "athena-fusion-head-2026-09-15-a1.json"


@pytest.fixture
def built(tmp_path):
    return make_pack(tmp_path, units=("101",))


@pytest.fixture
def hand_over(built):
    """Deliver the pack and publish its head to one target."""
    world, result = built

    def run(target):
        deliver_pack(result, target, store=world.store, audit=world.audit)
        publish_head(result, target, store=world.store, audit=world.audit)

    return run


def head_document(result):
    return {
        "attempt": 1,
        "businessDate": "2026-09-15",
        "headSha256": result.head_sha256,
        "pack": ZIP,
        "packSha256": result.sha256,
    }


def test_folder(built, hand_over, tmp_path):
    world, result = built
    target = FolderTarget(tmp_path / "outbox")
    for _ in range(2):
        hand_over(target)
    assert {p.name for p in (tmp_path / "outbox").iterdir()} == {ZIP, HEAD}
    assert (tmp_path / "outbox" / ZIP).read_bytes() == world.store.read_bytes(result.path)
    assert json.loads((tmp_path / "outbox" / HEAD).read_text()) == head_document(result)


def test_a_folder_that_holds_something_else_is_left_alone(hand_over, tmp_path):
    (tmp_path / "outbox").mkdir()
    (tmp_path / "outbox" / ZIP).write_bytes(b"other")
    with pytest.raises(PublishError, match="nothing was replaced"):
        hand_over(FolderTarget(tmp_path / "outbox"))
    assert (tmp_path / "outbox" / ZIP).read_bytes() == b"other"


def test_a_folder_that_cannot_be_written(hand_over, tmp_path):
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(PublishError, match="was not delivered"):
        hand_over(FolderTarget(tmp_path / "outbox"))


@pytest.fixture(scope="module")
def s3_server():
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server, monkeypatch, request):
    for name, value in {
        "AWS_ENDPOINT_URL_S3": s3_server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    name = request.node.name.replace("_", "-")[:60].strip("-")
    boto3.client("s3").create_bucket(Bucket=name)
    return name


def test_s3(built, hand_over, bucket):
    world, result = built
    for _ in range(2):
        hand_over(S3Target(bucket, "evidence/2026"))
    client = boto3.client("s3")
    keys = [item["Key"] for item in client.list_objects_v2(Bucket=bucket)["Contents"]]
    assert keys == [f"evidence/2026/{ZIP}", f"evidence/2026/{HEAD}"]
    assert client.get_object(Bucket=bucket, Key=keys[0])["Body"].read() == world.store.read_bytes(result.path)
    assert json.loads(client.get_object(Bucket=bucket, Key=keys[1])["Body"].read()) == head_document(result)


def test_s3_never_replaces(hand_over, bucket):
    client = boto3.client("s3")
    client.put_object(Bucket=bucket, Key=ZIP, Body=b"other")
    with pytest.raises(PublishError, match="nothing was replaced"):
        hand_over(S3Target(bucket))
    assert client.get_object(Bucket=bucket, Key=ZIP)["Body"].read() == b"other"


def test_s3_without_bucket(hand_over, bucket):
    with pytest.raises(PublishError, match="was not delivered"):
        hand_over(S3Target("no-such-bucket"))


class Mailbox:
    def __init__(self):
        self.messages = []
        self.refuse = False

    async def handle_DATA(self, server, session, envelope):
        if self.refuse:
            return "554 not today"
        self.messages.append((envelope.rcpt_tos, message_from_bytes(envelope.content, policy=default)))
        return "250 OK"


class AnyPort(Controller):
    """A mail server on a port that the system chooses."""

    def _trigger_server(self):
        self.port = self.server.sockets[0].getsockname()[1]
        super()._trigger_server()


@pytest.fixture
def mail():
    mailbox = Mailbox()
    controller = AnyPort(mailbox, hostname="127.0.0.1", port=0)
    controller.start()
    mailbox.port = controller.port
    yield mailbox
    controller.stop()


@pytest.fixture
def smtp(mail):
    return SmtpTarget(
        "127.0.0.1", "af@example.org", ("fin@example.org", "ops@example.org"), mail.port, starttls=False
    )


def test_mail(built, hand_over, mail, smtp):
    world, result = built
    for _ in range(2):  # the second time nothing is sent
        hand_over(smtp)
    assert len(mail.messages) == 2
    recipients, message = mail.messages[0]
    assert recipients == ["fin@example.org", "ops@example.org"]
    assert result.head_sha256 in message.get_body().get_content()
    assert result.head_sha256 in message["Message-ID"]
    (attachment,) = message.iter_attachments()
    assert attachment.get_filename() == ZIP
    assert attachment.get_content() == world.store.read_bytes(result.path)
    _, head = mail.messages[1]
    assert head["Message-ID"] != message["Message-ID"]
    (attachment,) = head.iter_attachments()
    assert json.loads(attachment.get_content()) == head_document(result)


def test_mail_that_was_refused_is_tried_again(hand_over, mail, smtp):
    mail.refuse = True
    with pytest.raises(PublishError, match="was not delivered"):
        hand_over(smtp)
    mail.refuse = False
    hand_over(smtp)
    assert len(mail.messages) == 2


def test_mail_server_without_tls_is_refused_unless_configured(built, hand_over, mail):
    target = SmtpTarget("127.0.0.1", "af@example.org", ("fin@example.org",), mail.port)
    with pytest.raises(PublishError):
        hand_over(target)
    assert mail.messages == []


def test_deliveries_are_recorded_first(built, hand_over, tmp_path):
    world, _ = built
    hand_over(FolderTarget(tmp_path / "outbox"))
    with world.database.begin() as connection:
        bodies = [
            json.loads(row.body)
            for row in connection.execute(text("SELECT body FROM audit_event ORDER BY seq"))
        ]
        connection.execute(text("DROP TABLE audit_head"))
    assert [body["type"] for body in bodies[-2:]] == ["evidence.deliver", "evidence.publish"]
    with pytest.raises(AuditUnavailable):
        hand_over(FolderTarget(tmp_path / "second"))
    assert not (tmp_path / "second").exists()


def test_a_changed_zip_is_not_delivered(built, hand_over, tmp_path):
    world, result = built
    world.store.write_bytes(result.path, b"changed")
    with pytest.raises(PublishError, match="was changed"):
        hand_over(FolderTarget(tmp_path / "outbox"))


def test_targets_from_configuration(tmp_path):
    assert parse_target({"folder": str(tmp_path)}) == FolderTarget(tmp_path)
    assert parse_target({"s3": "s3://bucket/a/b/"}) == S3Target("bucket", "a/b")
    assert parse_target({"s3": "s3://bucket"}) == S3Target("bucket")
    smtp = {"host": "mail", "sender": "a@b", "recipients": ["c@d"], "username": "u", "password": "env:PW"}
    assert parse_target({"smtp": smtp}) == SmtpTarget(
        "mail", "a@b", ("c@d",), 587, starttls=True, user="u", password=SecretRef.parse("env:PW")
    )


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"ftp": "x"},
        {"s3": "bucket/x"},
        {"folder": "x", "s3": "s3://bucket"},
        {"smtp": {"host": "mail"}},
        {"smtp": {"host": "mail", "sender": "a@b", "recipients": ["c@d"], "tls": False}},
    ],
)
def test_configurations_that_are_refused(config):
    with pytest.raises(PublishError):
        parse_target(config)
