"""The `erpintegrations` REST resource: documents in UCM and ESS jobs.

Attribute names are PascalCase throughout: a pod refuses `requestId` with 400. A 2xx answer alone proves nothing;
the request id in it does.
"""

import base64
import binascii
import io
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from athena_fusion.fusion.jobs import NULL, JobCall, JobTree, parameter_list, read_tree
from athena_fusion.http import HttpClient, HttpError, NotJson, OutcomeUnknown

_RESOURCE = "/fscmRestApi/resources/11.13.18.05/erpintegrations"
_HEADERS = {
    # Without the error type a pod answers errors as plain text, without title and details.
    "Accept": "application/vnd.oracle.adf.error+json, application/vnd.oracle.adf.resourceitem+json, "
    "application/vnd.oracle.adf.resourcecollection+json, application/json",
    "REST-Framework-Version": "1",
}
_LOG_BYTES = 64 * 2**20
_LOG_FILES = 500


class NotScheduled(HttpError):
    """Fusion took the call but scheduled nothing (`ReqstId` -1). Nothing was done."""


class BadAnswer(HttpError):
    """A Fusion answer that cannot be used. The call only read; nothing was changed."""


class ErpIntegrations:
    """Operations of one pod. Ids are text. Raises `http.HttpError` kinds, `NotScheduled` and `BadAnswer`."""

    def __init__(self, http: HttpClient) -> None:
        self._http = http

    def upload(self, file_name: str, content: bytes, account: str) -> str:
        """Store a ZIP in a UCM account; its document id. A doubled upload is harmless."""
        answer = self._change("uploadFileToUCM", _document(file_name, content, account))
        return self._id(answer, "DocumentId", f"upload of {file_name}")

    def find_documents(self, prefix: str, account: str = NULL) -> list[str]:
        """Ids of documents whose file name starts with `prefix`."""
        items = self._find(
            "DocumentIdsByFilePrefixRF", {"filePrefix": prefix, "docAccount": account, "comment": NULL}
        )
        return [str(item["DocumentId"]) for item in items if item.get("DocumentId")]

    def document(self, document_id: str) -> bytes:
        """The stored bytes of a document: proof of what Fusion really holds."""
        body = {"OperationName": "getDocumentForDocumentId", "DocumentId": document_id}
        response = self._http.post(_RESOURCE, json=body, headers=_HEADERS, safe=True)
        return _decode(_mapping(response.json()).get("DocumentContent"), f"document {document_id}")

    def submit(self, job_package: str, job_definition: str, arguments: Sequence[str]) -> str:
        """Submit one ESS job; its request id."""
        body = {
            "JobPackageName": job_package,
            "JobDefName": job_definition,
            "ESSParameters": parameter_list(arguments),
        }
        return self._scheduled(self._change("submitESSJobRequest", body), job_definition)

    def import_bulk(
        self, file_name: str, content: bytes, account: str, job: JobCall, interface_options_id: str
    ) -> str:
        """Upload, load and import in one call; the request id of the **load**.

        The second path (decision 10): after a lost answer there is no document id to look for.
        """
        body = {
            **_document(file_name, content, account),
            "JobName": f"{job.package},{job.definition}",
            "ParameterList": parameter_list(job.arguments),
            "CallbackURL": NULL,
            "NotificationCode": "10",
            # Without options no error file comes back; with PurgeOption=Y rejected rows would be gone unseen.
            "JobOptions": f"InterfaceDetails={interface_options_id},ImportOption=Y,PurgeOption=N,"
            "ExtractFileType=ALL",
        }
        return self._scheduled(self._change("importBulkData", body), job.definition)

    def status(self, request_id: str) -> str:
        """State word of a request; "" where Fusion is silent (as for requests not submitted through here)."""
        items = self._find("ESSJobStatusRF", {"requestId": request_id})
        return str((items[0].get("RequestStatus") if items else None) or "").strip().upper()

    def execution(self, request_id: str) -> JobTree:
        """The tree of jobs that a request became, with the state of each."""
        items = self._find("ESSExecutionDetailsRF", {"requestId": request_id})
        details = items[0].get("RequestStatus") if items else None
        try:
            return read_tree(details or "")
        except ValueError:
            pass
        raise BadAnswer(f"the execution details of request {request_id} cannot be read; ask again later")

    def log(self, request_id: str) -> str:
        """Logs and reports of a request and its children, one after the other under their file names.

        Only the user who submitted the request may read them.
        """
        items = self._find("ESSJobExecutionDetailsRF", {"requestId": request_id, "fileType": "ALL"})
        content = items[0].get("DocumentContent") if items else None
        return read_log_archive(_decode(content, f"the log of request {request_id}"), request_id)

    def _find(self, finder: str, values: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Items of a finder. Its separators are part of its syntax, so only the values are encoded."""
        for name, value in values.items():
            if not re.fullmatch(r"[\w.$/#-]+", value, re.ASCII):
                raise ValueError(f"{name} of a finder cannot be {value!r}")
        joined = ",".join(f"{name}={quote(value, safe='')}" for name, value in values.items())
        body = _mapping(self._http.get(f"{_RESOURCE}?finder={finder};{joined}", headers=_HEADERS).json())
        items = body.get("items")
        if not isinstance(items, list):
            raise BadAnswer(f"the answer to finder {finder} has no items; nothing was taken from it")
        return [_mapping(item) for item in items]

    def _change(self, operation: str, body: Mapping[str, str]) -> Mapping[str, Any]:
        """POST an operation that changes something. Once accepted, an unreadable answer is an unknown outcome."""
        response = self._http.post(_RESOURCE, json={"OperationName": operation, **body}, headers=_HEADERS)
        try:
            return _mapping(response.json())
        except (NotJson, BadAnswer) as error:
            text = f"{operation} was accepted but its answer cannot be read ({error})"
        raise OutcomeUnknown(f"{text}. Look what Fusion holds before sending again.", response.request_id)

    def _id(self, answer: Mapping[str, Any], attribute: str, what: str) -> str:
        value = str(answer.get(attribute) or "").strip()
        if not value:
            raise OutcomeUnknown(
                f"{what} was accepted without {attribute}: whether it took effect is unknown. "
                "Look what Fusion holds before sending again."
            )
        return value

    def _scheduled(self, answer: Mapping[str, Any], definition: str) -> str:
        request_id = self._id(answer, "ReqstId", definition)
        if request_id == "-1":
            raise NotScheduled(
                f"Fusion did not schedule {definition} (ReqstId -1); nothing was done. Either the job path is not "
                "known on this pod or the user lacks the privilege to run it. Check both, then submit again."
            )
        if not request_id.isdecimal():
            raise OutcomeUnknown(f"{definition}: the request id in the answer is not a number")
        return request_id


def read_log_archive(data: bytes, request_id: str) -> str:
    """Texts of a log ZIP. Sizes are counted while inflating, never believed; raises `BadAnswer`."""
    parts, left = list[str](), _LOG_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if len(entries) > _LOG_FILES:
                raise BadAnswer(
                    f"the log of request {request_id} holds more than {_LOG_FILES} files; not read"
                )
            for entry in entries:
                with archive.open(entry) as file:
                    content = file.read(left + 1)
                left -= len(content)
                if left < 0:
                    raise BadAnswer(
                        f"the log of request {request_id} inflates beyond {_LOG_BYTES // 2**20} MiB; not read"
                    )
                name = re.sub(r"[^\w. -]", "_", entry.filename.rsplit("/", 1)[-1])
                parts.append(f"===== {name} =====\n{content.decode('utf-8', 'replace')}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError):
        damaged = True
    else:
        damaged = False
    if damaged:
        raise BadAnswer(f"the log of request {request_id} is not a readable ZIP")
    return "\n".join(parts)


def _document(file_name: str, content: bytes, account: str) -> dict[str, str]:
    return {
        "DocumentContent": base64.b64encode(content).decode(),
        "ContentType": "zip",
        "FileName": file_name,
        "DocumentAccount": account,
    }


def _decode(content: Any, what: str) -> bytes:
    if not isinstance(content, str) or not content:
        raise BadAnswer(f"{what} came without content")
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except binascii.Error:
        pass
    raise BadAnswer(f"{what} is not base64")


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadAnswer("an answer of erpintegrations is not an object")
    return value
