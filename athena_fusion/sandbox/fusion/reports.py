"""BI Publisher: ExternalReportWSSService runReport over the read-back data model."""

import base64
import csv
import io
from xml.sax.saxutils import escape

import defusedxml
from defusedxml import ElementTree
from starlette.responses import Response

from athena_fusion.sandbox.fusion.pod import Pod
from athena_fusion.sandbox.fusion.web import Call

PATH = "/xmlpserver/services/ExternalReportWSSService"
NAMESPACE = "http://xmlns.oracle.com/oxp/service/PublicReportService"
ENVELOPE = "http://www.w3.org/2003/05/soap-envelope"
MEDIA_TYPE = "application/soap+xml"

_SEGMENTS = tuple(f"SEGMENT{n}" for n in range(1, 11))
HEADER = (
    *("ORIGIN", "STATUS", "STATUS_DESCRIPTION", "LINE_KEY", "GROUP_ID", "LOAD_REQUEST_ID", "LEDGER_ID"),
    *("ACCOUNTING_DATE", "PERIOD_NAME", "JE_SOURCE", "JE_CATEGORY", "CURRENCY_CODE"),
    *_SEGMENTS,
    *("ENTERED_DR", "ENTERED_CR", "BATCH_NAME", "BATCH_STATUS", "JOURNAL_NAME", "REFERENCE_2"),
)


class ReportFault(Exception):
    """A SOAP fault: the report was not run."""


def handle(call: Call) -> Response:
    """POST of a SOAP 1.2 envelope with runReport; faults come as HTTP 500."""
    if call.headers.get("content-type", "").split(";")[0].strip() != MEDIA_TYPE:
        return Response("Unsupported Media Type", 415, media_type="text/plain")
    try:
        content = _run(call)
    except ReportFault as fault:
        body = (
            "<env:Fault><env:Code><env:Value>env:Receiver</env:Value></env:Code><env:Reason>"
            f'<env:Text xml:lang="en">{escape(str(fault))}</env:Text></env:Reason></env:Fault>'
        )
        return _envelope(body, 500)
    encoded = base64.b64encode(content).decode()
    return _envelope(
        f'<runReportResponse xmlns="{NAMESPACE}"><runReportReturn><reportBytes>{encoded}</reportBytes>'
        "<reportContentType>text/csv</reportContentType></runReportReturn></runReportResponse>",
        200,
    )


def _run(call: Call) -> bytes:
    try:
        root = ElementTree.fromstring(call.body)
    except (ElementTree.ParseError, defusedxml.DefusedXmlException) as error:
        raise ReportFault(f"The envelope is not acceptable XML: {error}") from error
    request = root.find(f"{{{ENVELOPE}}}Body/{{{NAMESPACE}}}runReport/{{{NAMESPACE}}}reportRequest")
    if root.tag != f"{{{ENVELOPE}}}Envelope" or request is None:
        raise ReportFault("No runReport/reportRequest in a SOAP 1.2 body.")

    def text(name: str) -> str:
        return (request.findtext(f"{{{NAMESPACE}}}{name}") or "").strip()

    path = text("reportAbsolutePath")
    if "report" not in call.user.privileges:
        raise ReportFault(f"oracle.xdo.webservice.exception.AccessDeniedException: {path}")
    if path != call.pod.setup.readback_report:
        raise ReportFault(f"oracle.xdo.webservice.exception.InvalidParametersException: no report {path}")
    if text("attributeFormat") != "csv":
        raise ReportFault("The report has the output format csv only.")
    if text("sizeOfDataChunkDownload") != "-1":
        raise ReportFault("sizeOfDataChunkDownload must be -1: this report is not sent in chunks.")
    parameters = {
        (item.findtext(f"{{{NAMESPACE}}}name") or "").strip(): (
            item.findtext(f"{{{NAMESPACE}}}values/{{{NAMESPACE}}}item") or ""
        ).strip()
        for item in request.iterfind(f"{{{NAMESPACE}}}parameterNameValues/{{{NAMESPACE}}}item")
    }
    if not parameters.get("P_GROUP_ID"):
        raise ReportFault("The parameter P_GROUP_ID is required.")
    return journal_readback(call.pod, parameters["P_GROUP_ID"], parameters.get("P_LEDGER_ID") or None)


def journal_readback(pod: Pod, group: str, ledger_id: str | None) -> bytes:
    """CSV of the group's journal lines (BASE) and of what is still in the interface (INTERFACE)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    names = len(pod.setup.segments)
    for row in pod.database.rows(_BASE, group, ledger_id, ledger_id):
        segments = row["segments"].split(pod.setup.separator)[:10] + [""] * (10 - names)
        writer.writerow(
            [
                *("BASE", "", "", row["REFERENCE_1"], row["group_id"], "", row["ledger_id"]),
                *(row["effective_date"], row["period_name"], row["source"], row["category"], row["currency"]),
                *segments,
                *(row["entered_dr"], row["entered_cr"], row["batch"], row["status"], row["name"]),
                row["REFERENCE_2"],
            ]
        )
    for row in pod.database.rows("SELECT * FROM gl_interface WHERE GROUP_ID = ? ORDER BY id", group):
        ledger = pod.ledger(ledger_id=row["LEDGER_ID"], name=row["LEDGER_NAME"])
        found = ledger.id if ledger is not None else row["LEDGER_ID"]
        if ledger_id is not None and found != ledger_id:
            continue
        writer.writerow(
            [
                *("INTERFACE", row["STATUS"], row["STATUS_DESCRIPTION"], row["REFERENCE21"], row["GROUP_ID"]),
                *(row["LOAD_REQUEST_ID"], found, row["ACCOUNTING_DATE"], row["PERIOD_NAME"]),
                *(row["USER_JE_SOURCE_NAME"], row["USER_JE_CATEGORY_NAME"], row["CURRENCY_CODE"]),
                *(row[segment] for segment in _SEGMENTS),
                *(row["ENTERED_DR"], row["ENTERED_CR"], "", "", row["REFERENCE4"], row["REFERENCE22"]),
            ]
        )
    return text.getvalue().encode()


_BASE = """
SELECT b.group_id, b.name AS batch, b.status, h.ledger_id, h.effective_date, h.period_name, h.source, h.category,
       h.currency, h.name, c.segments, l.entered_dr, l.entered_cr, l.REFERENCE_1, l.REFERENCE_2
FROM gl_je_batches b
JOIN gl_je_headers h ON h.batch_id = b.id
JOIN gl_je_lines l ON l.header_id = h.id
JOIN gl_code_combinations c ON c.id = l.combination
WHERE b.group_id = ? AND (? IS NULL OR h.ledger_id = ?)
ORDER BY l.header_id, l.line
"""


def _envelope(body: str, status: int) -> Response:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f'<env:Envelope xmlns:env="{ENVELOPE}"><env:Body>{body}</env:Body></env:Envelope>'
    )
    return Response(text, status, media_type=MEDIA_TYPE)
