"""Read-back over SOAP: escaping, faults, and amounts that stay exact."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.resources import files
from xml.sax.saxutils import escape

import httpx
import polars as pl
import pytest
from defusedxml.ElementTree import fromstring

from athena_fusion.clock import ManualClock
from athena_fusion.fusion.reports import READBACK_COLUMNS, ReportError, Reports, read_readback
from athena_fusion.http import HttpClient, Unavailable

START = datetime(2026, 9, 16, 9, 0, tzinfo=UTC)
PATH = "/Custom/athena_fusion/journal_readback.xdo"
HEADER = ",".join(READBACK_COLUMNS)


def line(origin: str = "BASE", debit: str = "", credit: str = "", **more: str) -> str:
    values = {"ORIGIN": origin, "ENTERED_DR": debit, "ENTERED_CR": credit, "SEGMENT1": "101", **more}
    return ",".join(values.get(column, "") for column in READBACK_COLUMNS)


def soap(content: bytes) -> httpx.Response:
    encoded = base64.b64encode(content).decode()
    return httpx.Response(
        200,
        text='<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"><env:Body>'
        '<runReportResponse xmlns="http://xmlns.oracle.com/oxp/service/PublicReportService"><runReportReturn>'
        f"<reportBytes>{encoded}</reportBytes></runReportReturn></runReportResponse></env:Body></env:Envelope>",
    )


def fault(reason: str, version: str = "1.2") -> str:
    if version == "1.1":
        return (
            f"<e:Envelope xmlns:e='x'><e:Body><e:Fault><faultstring>{reason}</faultstring></e:Fault>"
            "</e:Body></e:Envelope>"
        )
    return (
        '<env:Envelope xmlns:env="http://www.w3.org/2003/05/soap-envelope"><env:Body><env:Fault><env:Reason>'
        f'<env:Text xml:lang="en">{reason}</env:Text></env:Reason></env:Fault></env:Body></env:Envelope>'
    )


@contextmanager
def reports(*answers: httpx.Response) -> Iterator[tuple[Reports, list[httpx.Request]]]:
    waiting, seen = list(answers), list[httpx.Request]()

    def serve(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return waiting.pop(0) if len(waiting) > 1 else waiting[0]

    with HttpClient(
        "https://fa.test", clock=ManualClock(START), transport=httpx.MockTransport(serve)
    ) as http:
        yield Reports(http, PATH), seen


def test_readback_request_and_frame() -> None:
    body = f"{HEADER}\n{line(debit='1250')}\n{line('INTERFACE', credit='.05', STATUS='EF04')}\n"
    with reports(soap(body.encode())) as (client, seen):
        frame = client.journal_readback("20260915001010101", "300000046975971")
    assert frame.select("ORIGIN", "STATUS", "debit_cents", "credit_cents").rows() == [
        ("BASE", None, 125000, 0),
        ("INTERFACE", "EF04", 0, 5),
    ]
    assert frame.schema["debit_cents"] == frame.schema["credit_cents"] == pl.Int64
    assert not {"ENTERED_DR", "ENTERED_CR"} & set(frame.columns)
    assert seen[0].headers["content-type"].startswith("application/soap+xml")
    assert seen[0].url.path == "/xmlpserver/services/ExternalReportWSSService"
    names = {"r": "http://xmlns.oracle.com/oxp/service/PublicReportService"}
    request = fromstring(seen[0].content).find(".//r:runReport/r:reportRequest", names)
    assert request.findtext("r:reportAbsolutePath", namespaces=names) == PATH
    assert request.findtext("r:attributeFormat", namespaces=names) == "csv"
    assert request.findtext("r:sizeOfDataChunkDownload", namespaces=names) == "-1"
    parameters = {
        item.findtext("r:name", namespaces=names): item.findtext("r:values/r:item", namespaces=names)
        for item in request.findall("r:parameterNameValues/r:item", names)
    }
    assert parameters == {"P_GROUP_ID": "20260915001010101", "P_LEDGER_ID": "300000046975971"}


def test_parameters_cannot_change_the_envelope() -> None:
    hostile = "1</r:item><r:item>2 & <x/>"
    with reports(soap(b"x")) as (client, seen):
        assert client.run(PATH, {"P": hostile}) == b"x"
    values = [element.text for element in fromstring(seen[0].content).iter() if element.tag.endswith("}item")]
    assert values.count(hostile) == 1


def test_parameter_that_xml_cannot_carry() -> None:
    with reports(soap(b"x")) as (client, seen), pytest.raises(ValueError, match="XML"):
        client.run(PATH, {"P": "a\x00b"})
    assert seen == []


@pytest.mark.parametrize(("version", "status"), [("1.2", 500), ("1.2", 400), ("1.1", 500), ("1.2", 200)])
def test_fault_is_one_typed_error_with_the_reason(version: str, status: int) -> None:
    answer = httpx.Response(status, text=fault("AccessDeniedException: no report", version))
    with reports(answer) as (client, seen), pytest.raises(ReportError, match="AccessDeniedException"):
        client.run(PATH, {})
    assert len(seen) == 1


def test_report_only_reads_and_is_repeated() -> None:
    with reports(httpx.Response(503), soap(b"x")) as (client, _):
        assert client.run(PATH, {}) == b"x"
    with reports(httpx.Response(503)) as (client, _), pytest.raises(Unavailable):
        client.run(PATH, {})


@pytest.mark.parametrize(
    "text",
    [
        "<html>Sign in",
        "",
        '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
        "<x/>",
        "<x><reportBytes/></x>",
        "<x><reportBytes>%%%</reportBytes></x>",
    ],
)
def test_answers_without_report_bytes(text: str) -> None:
    allowed_empty = text == "<x><reportBytes/></x>"
    with reports(httpx.Response(200, text=text)) as (client, _):
        if allowed_empty:
            assert client.run(PATH, {}) == b""
            with pytest.raises(ReportError, match="other columns"):
                client.journal_readback("1", "2")
        else:
            with pytest.raises(ReportError):
                client.run(PATH, {})


@pytest.mark.parametrize(
    ("text", "cents"),
    [
        ("0", 0),
        ("1250", 125000),
        ("1250.5", 125050),
        ("1250.50", 125050),
        ("1250.5000", 125050),
        ("-0.05", -5),
        (".05", 5),
        ("+7.", 700),
        ("999999999999999.99", 99999999999999999),
    ],
)
def test_amounts_are_exact(text: str, cents: int) -> None:
    frame = read_readback(f"{HEADER}\n{line(debit=text)}".encode())
    assert frame["debit_cents"].to_list() == [cents]


@pytest.mark.parametrize("text", ["1.005", "1e3", "1_000", "abc", ".", "-", " 1", "NaN", "1.2.3"])
def test_amounts_that_are_not_exact_name_the_row(text: str) -> None:
    body = f"{HEADER}\n{line(debit='1')}\n{line(credit=text)}"
    with pytest.raises(ReportError, match="row 2 of the read-back report has no exact amount in ENTERED_CR"):
        read_readback(body.encode())


def test_no_rows_is_an_empty_frame_but_no_header_is_an_error() -> None:
    frame = read_readback(b"\xef\xbb\xbf" + HEADER.encode() + b"\r\n")
    assert (frame.height, frame.schema["debit_cents"]) == (0, pl.Int64)
    for content in (
        b"",
        b"\n",
        b"A,B\n1,2\n",
        HEADER.replace("LINE_KEY,", "").encode(),
        HEADER.lower().encode(),
    ):
        with pytest.raises(ReportError):
            read_readback(content)


def test_unknown_origin_and_ragged_rows() -> None:
    for row in (line("OTHER"), line(""), line() + ",more,more"):
        with pytest.raises(ReportError):
            read_readback(f"{HEADER}\n{row}\n".encode())


def test_quoted_descriptions_survive() -> None:
    said = 'FLEX-VALUE DOES NOT EXIST, "(SEGMENT=CostCenter)"\nnext'
    quoted = '"' + said.replace('"', '""') + '"'
    frame = read_readback(f"{HEADER}\n{line(STATUS_DESCRIPTION=quoted)}\n".encode())
    assert frame["STATUS_DESCRIPTION"].to_list() == [said]


def test_fault_text_with_a_token_is_scrubbed() -> None:
    answer = httpx.Response(500, text=fault(escape("Bearer abc.def.ghi is not valid for claim 556912")))
    with reports(answer) as (client, _), pytest.raises(ReportError) as caught:
        client.run(PATH, {})
    assert "abc.def" not in str(caught.value)
    assert "556912" not in str(caught.value)


def test_shipped_data_model_gives_exactly_these_columns() -> None:
    sql = files("athena_fusion.fusion").joinpath("data_model/journal_readback.sql").read_text()
    base, interface = sql.split("UNION ALL")
    select = base.split("SELECT", 1)[1].split("  FROM ", 1)[0]
    names = [part.strip().rsplit(" ", 1)[-1].rstrip(",") for part in select.strip().splitlines()]
    assert tuple(names) == READBACK_COLUMNS
    second = interface.split("SELECT", 1)[1].split("  FROM ", 1)[0].strip().splitlines()
    assert len(second) == len(READBACK_COLUMNS)
    assert sql.count(":P_GROUP_ID") == 2
