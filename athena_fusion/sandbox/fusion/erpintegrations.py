"""REST resource erpintegrations: upload, submit, bulk import, status, execution details, files."""

import base64
import csv
import io
import json
import zipfile
from collections.abc import Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from athena_fusion.sandbox.fusion import ucm
from athena_fusion.sandbox.fusion.ess import NOT_SCHEDULED, Chain
from athena_fusion.sandbox.fusion.execution import execution_details, execution_files
from athena_fusion.sandbox.fusion.jobs import LOAD_DEFINITION, LOADER_PACKAGE
from athena_fusion.sandbox.fusion.web import (
    RESOURCE_COLLECTION,
    RESOURCE_ITEM,
    ROOT,
    ApiError,
    Call,
    collection,
    framework_version,
)

ATTRIBUTES = (
    "OperationName",
    "DocumentId",
    "DocumentContent",
    "FileName",
    "ContentType",
    "FileType",
    "DocumentAccount",
    "Comments",
    "ProcessName",
    "LoadRequestId",
    "JobPackageName",
    "JobDefName",
    "ReqstId",
    "RequestStatus",
    "JobName",
    "ParameterList",
    "NotificationCode",
    "CallbackURL",
    "JobOptions",
    "StatusCode",
    "ESSParameters",
)
_EXTRACT_TYPES = {"ALL", "ERROR", "NONE"}


def operation(request: Request, body: bytes) -> str:
    """The operation a call means, for arming faults: OperationName of a POST, or what a GET finder does."""
    if request.method == "GET":
        finder = request.query_params.get("finder", "").partition(";")[0]
        return _FINDERS[finder][0] if finder in _FINDERS else finder
    try:
        payload = json.loads(body)
    except ValueError:
        return ""
    return str(payload.get("OperationName", "")) if isinstance(payload, dict) else ""


def handle(call: Call) -> Response:
    """GET with a finder, or POST with an operation."""
    framework_version(call)
    if not call.accepts("application/json", RESOURCE_ITEM, RESOURCE_COLLECTION):
        raise ApiError(406, "Not Acceptable")
    return _get(call) if call.method == "GET" else _post(call)


# POST ----------------------------------------------------------------------------------------------------


def _post(call: Call) -> Response:
    payload = _payload(call)
    known = _OPERATIONS.get(payload.get("OperationName") or "")
    if known is None:
        raise ApiError(400, "Invalid value for the attribute OperationName.")
    answer = {**dict.fromkeys(ATTRIBUTES), **payload, **known(call, payload)}
    answer["links"] = [
        {
            "rel": "self",
            "href": f"{call.url}{ROOT}/erpintegrations",
            "name": "erpintegrations",
            "kind": "item",
        }
    ]
    wants_item = RESOURCE_ITEM in call.headers.get("accept", "")
    return JSONResponse(answer, 201, media_type=RESOURCE_ITEM if wants_item else "application/json")


def _payload(call: Call) -> dict[str, str | None]:
    media_type = call.headers.get("content-type", "").split(";")[0].strip()
    if media_type not in {"application/json", RESOURCE_ITEM}:
        raise ApiError(415, "Unsupported Media Type")
    try:
        payload = json.loads(call.body)
    except ValueError:
        raise ApiError(400, "The payload is not JSON.") from None
    if not isinstance(payload, dict):
        raise ApiError(400, "The payload is not a JSON object.")
    for name, value in payload.items():
        if name not in ATTRIBUTES:
            raise ApiError(400, f'Invalid attribute "{name}" in the payload')
        if not isinstance(value, str | None):
            raise ApiError(400, f'Invalid value for the attribute "{name}"')
    return payload


def _required(payload: Mapping[str, str | None], *names: str) -> list[str]:
    values = []
    for name in names:
        value = payload.get(name)
        if not value:
            raise ApiError(400, f"The attribute {name} is required.")
        values.append(value)
    return values


def _upload(call: Call, payload: Mapping[str, str | None]) -> dict[str, str]:
    name, account, content = _required(payload, "FileName", "DocumentAccount", "DocumentContent")
    return {"DocumentId": str(_store(call, name, account, payload.get("ContentType") or "zip", content))}


def _store(call: Call, name: str, account: str, content_type: str, content: str) -> int:
    try:
        data = ucm.decode(content)
        return ucm.upload(
            call.pod, call.user, name=name, account=account, content_type=content_type, content=data
        )
    except ucm.UploadRefused as error:
        raise ApiError(400, "The file was not uploaded.", str(error), "FND_CMN_SERVER_CONN_ERROR") from error


def _submit(call: Call, payload: Mapping[str, str | None]) -> dict[str, str]:
    package, definition = _required(payload, "JobPackageName", "JobDefName")
    if call.fault_is("reqstid"):
        return {"ReqstId": str(NOT_SCHEDULED)}
    arguments = split_parameters(payload.get("ESSParameters") or "")
    request = call.engine.submit(package, definition, arguments, call.user.name)
    return {"ReqstId": str(request)}


def _import_bulk_data(call: Call, payload: Mapping[str, str | None]) -> dict[str, str]:
    name, account, content = _required(payload, "FileName", "DocumentAccount", "DocumentContent")
    options = _job_options(payload.get("JobOptions") or "")
    job, parameters = payload.get("JobName"), payload.get("ParameterList") or ""
    if not job:
        job, parameters = _properties(content)
    package, _, definition = job.partition(",")
    known = call.engine.jobs.get(definition)
    rights = {"load", known.privilege} if known is not None else {None}
    unknown = known is None or known.package.strip("/") != package.strip("/")
    if call.fault_is("reqstid") or unknown or not rights <= call.user.privileges:
        return {"ReqstId": str(NOT_SCHEDULED)}
    with call.pod.database.transaction():
        document = _store(call, name, account, payload.get("ContentType") or "zip", content)
        wanted = options.get("ImportOption", "Y") == "Y"
        chain = Chain(
            import_definition=definition if wanted else "",
            import_arguments=tuple(split_parameters(parameters)),
            extract=options.get("ExtractFileType", "ALL") if options else "NONE",
            purge=options.get("PurgeOption") == "Y",
        )
        request = call.engine.submit(
            LOADER_PACKAGE,
            LOAD_DEFINITION,
            [options.get("InterfaceDetails", "15"), str(document), "N", "N"],
            call.user.name,
            document=name,
            options=chain.dumps(),
        )
    return {"ReqstId": str(request), "DocumentId": str(document)}


def _job_options(text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        key, equals, value = part.partition("=")
        if not equals:
            raise ApiError(400, f"Invalid JobOptions entry {part}.")
        options[key] = value
    if options.get("ExtractFileType", "ALL") not in _EXTRACT_TYPES:
        raise ApiError(400, "Invalid ExtractFileType.")
    return options


def _properties(content: str) -> tuple[str, str]:
    """Job and parameters from the `.properties` entry: `package,definition,prefix,param1,...`."""
    try:
        with zipfile.ZipFile(io.BytesIO(ucm.decode(content))) as archive:
            names = [name for name in archive.namelist() if name.endswith(".properties")]
            line = archive.read(names[0]).decode("utf-8").strip() if names else ""
    except (ucm.UploadRefused, zipfile.BadZipFile, UnicodeDecodeError):
        line = ""
    package, _, rest = line.partition(",")
    definition, _, rest = rest.partition(",")
    return f"{package},{definition}", rest.partition(",")[2]


def split_parameters(text: str) -> list[str]:
    """Values of a comma list; a value with a comma stands in double quotes. Trailing empty ones get lost."""
    values = next(csv.reader([text]), []) if text else []
    while values and values[-1] == "":
        values.pop()
    return [value.strip() for value in values]


def _document(call: Call, payload: Mapping[str, str | None]) -> dict[str, str]:
    (document_id,) = _required(payload, "DocumentId")
    row = ucm.document(call.pod, document_id)
    if row is None:
        raise ApiError(400, "The document was not found.", f"No document {document_id} in UCM.")
    return {
        "DocumentContent": base64.b64encode(row["content"]).decode(),
        "FileName": row["name"],
        "ContentType": row["content_type"],
        "DocumentAccount": row["account"],
    }


def _download(call: Call, payload: Mapping[str, str | None]) -> dict[str, str]:
    (request,) = _required(payload, "ReqstId")
    content = _execution_zip(call, request, payload.get("FileType") or "ALL")
    return {"DocumentContent": content, "ContentType": "zip", "FileName": f"ESS_{request}.zip"}


def _execution_zip(call: Call, request: str, file_type: str) -> str:
    call.engine.tick()
    row = _request(call, request)
    if row is None:
        raise ApiError(400, "The request was not found.", f"No request {request}.")
    if row["submitter"] != call.user.name:
        raise ApiError(
            400, "FND-2", f"FND-2: {call.user.name} may not read the output of request {request}.", "FND-2"
        )
    kinds = {"LOG": {"LOG"}, "OUT": {"OUT"}, "ALL": {"LOG", "OUT"}}.get(file_type.upper())
    if kinds is None:
        raise ApiError(400, "Invalid FileType.")
    return base64.b64encode(execution_files(call.engine, int(request), kinds)).decode()


# GET -----------------------------------------------------------------------------------------------------


def _get(call: Call) -> Response:
    name, _, rest = call.query.get("finder", "").partition(";")
    if name not in _FINDERS:
        raise ApiError(400, "The finder is unknown or missing.")
    operation_name, finder = _FINDERS[name]
    parameters = dict(part.partition("=")[::2] for part in rest.split(",") if part)
    items: list[dict[str, object]] = []
    wanted = set(filter(None, call.query.get("fields", "").split(",")))
    if wanted - set(ATTRIBUTES):
        raise ApiError(400, "Invalid attribute in fields.")
    for found in finder(call, parameters):
        item: dict[str, object] = {**dict.fromkeys(ATTRIBUTES), "OperationName": operation_name, **found}
        items.append({key: value for key, value in item.items() if not wanted or key in wanted})
    href = f"{call.url}{ROOT}/erpintegrations"
    return collection(items, limit=25, offset=0, more=False, href=href)


def _find_status(call: Call, parameters: Mapping[str, str]) -> list[dict[str, str]]:
    call.engine.tick()
    request = _parameter(parameters, "requestId")
    row = _request(call, request)
    # Only requests that came through this resource have a status here.
    status = str(row["state"]) if row is not None and row["direct"] else ""
    if call.fault_is("blank"):
        status = ""
    elif call.fault_is("paused"):
        status = "PAUSED"
    return [{"ReqstId": request, "RequestStatus": status}]


def _find_execution(call: Call, parameters: Mapping[str, str]) -> list[dict[str, str]]:
    call.engine.tick()
    request = _parameter(parameters, "requestId")
    row = _request(call, request)
    if row is None:
        raise ApiError(400, "The request was not found.", f"No request {request}.")
    details = execution_details(
        call.engine, row, as_list=call.pod.setup.execution_details_as_list, paused=call.fault_is("paused")
    )
    status = "" if call.fault_is("blank") else json.dumps(details)
    return [{"ReqstId": request, "RequestStatus": status}]


def _find_files(call: Call, parameters: Mapping[str, str]) -> list[dict[str, str]]:
    request = _parameter(parameters, "requestId")
    content = _execution_zip(call, request, parameters.get("fileType", "ALL"))
    return [{"ReqstId": request, "ContentType": "zip", "DocumentContent": content}]


def _find_documents(call: Call, parameters: Mapping[str, str]) -> list[dict[str, str]]:
    prefix = _parameter(parameters, "filePrefix")
    account, comment = (
        None if parameters.get(name, "#NULL") in {"", "#NULL"} else parameters[name]
        for name in ("docAccount", "comment")
    )
    return [{"DocumentId": each} for each in ucm.find(call.pod, prefix, account, comment)]


def _parameter(parameters: Mapping[str, str], name: str) -> str:
    if not parameters.get(name):
        raise ApiError(400, f"The finder needs {name}.")
    return parameters[name]


def _request(call: Call, request: str) -> Mapping[str, object] | None:
    if not request.isdigit():
        raise ApiError(400, "The request id is not a number.")
    row = call.pod.database.row("SELECT * FROM ess_requests WHERE id = ?", int(request))
    return None if row is None else dict(row)


_OPERATIONS: dict[str, Callable[[Call, Mapping[str, str | None]], dict[str, str]]] = {
    "importBulkData": _import_bulk_data,
    "uploadFileToUCM": _upload,
    "submitESSJobRequest": _submit,
    "getDocumentForDocumentId": _document,
    "downloadESSJobExecutionDetails": _download,
}
_FINDERS: dict[str, tuple[str, Callable[[Call, Mapping[str, str]], list[dict[str, str]]]]] = {
    "ESSJobStatusRF": ("getESSJobStatus", _find_status),
    "ESSExecutionDetailsRF": ("getESSExecutionDetails", _find_execution),
    "ESSJobExecutionDetailsRF": ("downloadESSJobExecutionDetails", _find_files),
    "DocumentIdsByFilePrefixRF": ("DocumentIdsByFilePrefixRF", _find_documents),
}
