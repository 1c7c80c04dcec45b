"""BI Publisher reports over SOAP 1.2, and the journal read-back report that our customers deploy.

The data model behind the read-back is `data_model/journal_readback.sql`; its column names are the contract.
"""

import base64
import binascii
import io
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

import polars as pl
from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, fromstring

from athena_fusion.http import HttpClient, HttpError, scrub

_SERVICE = "/xmlpserver/services/ExternalReportWSSService"
_SOAP = "http://www.w3.org/2003/05/soap-envelope"
_REPORT = "http://xmlns.oracle.com/oxp/service/PublicReportService"
_MEDIA_TYPE = "application/soap+xml; charset=utf-8"

READBACK_COLUMNS = (
    *("ORIGIN", "STATUS", "STATUS_DESCRIPTION", "LINE_KEY", "GROUP_ID", "LOAD_REQUEST_ID", "LEDGER_ID"),
    *("ACCOUNTING_DATE", "PERIOD_NAME", "JE_SOURCE", "JE_CATEGORY", "CURRENCY_CODE"),
    *(f"SEGMENT{number}" for number in range(1, 11)),
    *("ENTERED_DR", "ENTERED_CR", "BATCH_NAME", "BATCH_STATUS", "JOURNAL_NAME", "REFERENCE_2"),
)
"""Header of the read-back report."""

_AMOUNTS = {"ENTERED_DR": "debit_cents", "ENTERED_CR": "credit_cents"}
# Oracle writes a fraction without the leading zero; a third decimal is refused, never rounded.
_AMOUNT = r"^[+-]?(\d{1,15}(\.\d{0,2}0*)?|\.\d{1,2}0*)$"


class ReportError(HttpError):
    """A report that could not be run or read. It only reads; nothing was changed, and nothing is proven."""


class Reports:
    """Reports of one pod. Raises `http.HttpError` kinds and `ReportError`."""

    def __init__(self, http: HttpClient, readback_report: str) -> None:
        self._http, self._readback = http, readback_report

    def run(self, path: str, parameters: Mapping[str, str]) -> bytes:
        """The CSV bytes of a report at catalog path `path` (`/Custom/....xdo`)."""
        response = self._http.post(
            _SERVICE,
            content=_envelope(path, parameters),
            headers={"Content-Type": _MEDIA_TYPE, "Accept": "application/soap+xml, text/xml"},
            safe=True,
            handled=(400, 500),  # where SOAP faults travel
        )
        try:
            root = fromstring(response.content)
        except (ParseError, DefusedXmlException, ValueError):
            root = None
        if root is None:
            kind = response.headers.get("content-type", "no content type")
            raise ReportError(
                f"report {path} answered {response.status} with {kind} instead of SOAP; check the base URL",
                response.request_id,
            )
        if fault := _find(root, "Fault"):
            raise ReportError(
                f"report {path} failed in Fusion: {_fault_words(fault)}. Nothing is proven by it. Check that the "
                "report is deployed at that path and that the user may run it.",
                response.request_id,
            )
        found = _find(root, "reportBytes")
        try:
            return base64.b64decode("".join(((found or [None])[0].text or "").split()), validate=True)
        except (AttributeError, binascii.Error):
            pass
        raise ReportError(f"report {path} answered without readable report bytes", response.request_id)

    def journal_readback(self, group_id: str, ledger_id: str) -> pl.DataFrame:
        """Every journal line and interface row that Fusion holds for a group; see `read_readback`."""
        parameters = {"P_GROUP_ID": group_id, "P_LEDGER_ID": ledger_id}
        return read_readback(self.run(self._readback, parameters))


def read_readback(content: bytes) -> pl.DataFrame:
    """The read-back CSV as a frame: text columns as in `READBACK_COLUMNS`, null where blank.

    ENTERED_DR and ENTERED_CR become Int64 `debit_cents` and `credit_cents`, 0 on the empty side. Raises
    `ReportError` for another header, an unknown ORIGIN or an amount that is not exact in cents.
    """
    try:
        frame = pl.read_csv(io.BytesIO(content.removeprefix(b"\xef\xbb\xbf")), infer_schema=False)
    except pl.exceptions.NoDataError:
        frame = pl.DataFrame()
    except pl.exceptions.PolarsError as error:
        raise ReportError(f"the read-back report is not readable CSV ({type(error).__name__})") from None
    if tuple(frame.columns) != READBACK_COLUMNS:
        # Also for an empty answer: no header proves nothing, and a probe that believes it loads twice.
        raise ReportError(
            "the read-back report has other columns than its data model must give; nothing was taken from it. "
            "Deploy the data model of this release again."
        )
    if not frame["ORIGIN"].is_in(["BASE", "INTERFACE"]).fill_null(value=False).all():
        raise ReportError("the read-back report holds a row of unknown ORIGIN; nothing was taken from it")
    for column in _AMOUNTS:
        bad = frame.select(
            (pl.col(column).is_not_null() & ~pl.col(column).str.contains(_AMOUNT)).arg_true().first()
        ).item()
        if bad is not None:
            raise ReportError(f"row {bad + 1} of the read-back report has no exact amount in {column}")
    cents = [
        (pl.col(column).cast(pl.Decimal(38, 2)) * 100).cast(pl.Int64).fill_null(0).alias(name)
        for column, name in _AMOUNTS.items()
    ]
    return frame.with_columns(cents).drop(*_AMOUNTS)


def _envelope(path: str, parameters: Mapping[str, str]) -> bytes:
    items = "".join(
        f"<r:item><r:name>{_xml(name)}</r:name><r:values><r:item>{_xml(value)}</r:item></r:values></r:item>"
        for name, value in parameters.items()
    )
    return (
        f'<s:Envelope xmlns:s="{_SOAP}" xmlns:r="{_REPORT}"><s:Header/><s:Body><r:runReport><r:reportRequest>'
        f"<r:attributeFormat>csv</r:attributeFormat><r:parameterNameValues>{items}</r:parameterNameValues>"
        f"<r:reportAbsolutePath>{_xml(path)}</r:reportAbsolutePath>"
        "<r:sizeOfDataChunkDownload>-1</r:sizeOfDataChunkDownload></r:reportRequest></r:runReport>"
        "</s:Body></s:Envelope>"
    ).encode()


def _xml(text: str) -> str:
    if re.search(r"[^\t\n\r\x20-\uD7FF\uE000-\uFFFD\U00010000-\U0010FFFF]", text):
        raise ValueError("a report path or parameter holds a character that XML cannot carry")
    return escape(text)


def _find(root: Any, local_name: str) -> list[Any]:
    """Elements by local name: pods differ in the namespaces of their answers."""
    return [element for element in root.iter() if str(element.tag).rsplit("}", 1)[-1] == local_name]


def _fault_words(fault: list[Any]) -> str:
    """Reason of a SOAP 1.2 or 1.1 fault."""
    for name in ("Text", "faultstring"):
        if found := _find(fault[0], name):
            return scrub((found[0].text or "")[:2000])[:300]
    return "a fault without a reason"
