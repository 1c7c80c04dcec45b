"""Universal Content Management: the document store that files come in through."""

import base64
import binascii
import sqlite3

from athena_fusion.sandbox.fusion.pod import Pod
from athena_fusion.sandbox.fusion.setup import User
from athena_fusion.sandbox.fusion.tables import next_number


class UploadRefused(Exception):
    """The document was not stored."""


def account_key(account: str) -> str:
    """`fin$/generalLedger$/import$` and `fin/generalLedger/import` are one account."""
    return account.replace("$", "").strip("/").lower()


def decode(content: str) -> bytes:
    """Bytes of base64 text. Raises `UploadRefused`."""
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UploadRefused(f"DocumentContent is not base64: {error}.") from error


def upload(pod: Pod, user: User, *, name: str, account: str, content_type: str, content: bytes) -> int:
    """Store a document; its id. Raises `UploadRefused` where the user may not write to the account."""
    writable = {account_key(each) for each in user.accounts}
    if "upload" not in user.privileges or account_key(account) not in writable:
        raise UploadRefused(f"FND_CMN_SERVER_CONN_ERROR: no write access to the account {account}.")
    return store(
        pod, name=name, account=account, content_type=content_type, author=user.name, content=content
    )


def store(pod: Pod, *, name: str, account: str, content_type: str, author: str, content: bytes) -> int:
    """Store a document without asking for rights, for the pod's own jobs."""
    with pod.database.transaction() as connection:
        document = next_number(connection, "document")
        connection.execute(
            "INSERT INTO ucm_documents VALUES (?, ?, ?, ?, ?, NULL, ?, ?)",
            (document, name, account, content_type, author, pod.stamp(), content),
        )
    return document


def find(pod: Pod, prefix: str, account: str | None, comment: str | None) -> list[str]:
    """Ids of the documents whose file name starts with `prefix`, oldest first."""
    rows = pod.database.rows(
        "SELECT id, account, comments FROM ucm_documents WHERE substr(name, 1, ?) = ? ORDER BY id",
        len(prefix),
        prefix,
    )
    return [
        str(row["id"])
        for row in rows
        if (account is None or account_key(row["account"]) == account_key(account))
        and (comment is None or row["comments"] == comment)
    ]


def document(pod: Pod, document_id: str) -> sqlite3.Row | None:
    """A stored document."""
    if not document_id.isdigit():
        return None
    return pod.database.row("SELECT * FROM ucm_documents WHERE id = ?", int(document_id))
