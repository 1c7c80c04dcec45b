"""Both sides as one process: it comes up, answers, keeps its state, and stops cleanly."""

import json
import socket
import stat
from pathlib import Path

import httpx
import pytest

from athena_fusion.sandbox.process import SandboxFailed, SandboxProcess


def test_the_process_serves_both_sides_and_keeps_its_state(tmp_path: Path) -> None:
    with SandboxProcess(tmp_path, entities=1, lines_per_entity=20) as sandbox:
        secret = (tmp_path / "secrets" / "athenaone").read_text()
        form = {"grant_type": "client_credentials", "scope": "athena/service/Athenanet.MDP.*"}
        token = httpx.post(
            f"{sandbox.athenaone_url}/oauth2/v1/token", data=form, auth=("athena-fusion-rcm", secret)
        )
        assert token.status_code == 200
        assert (
            httpx.get(f"{sandbox.fusion_url}/fscmRestApi/resources/11.13.18.05/erpintegrations").status_code
            == 401
        )
        closed = httpx.post(
            f"{sandbox.athenaone_url}/sandbox/close-day", json={"date": "2026-09-15"}, timeout=30
        )
        assert (sandbox.dataview / closed.json()["delivery"] / "control.csv").exists()
        process = sandbox._process
    assert process is not None
    assert process.returncode == 0
    assert (tmp_path / "server.log").read_text() == ""
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "secrets").iterdir()} == {0o600}

    with SandboxProcess(tmp_path, entities=1, lines_per_entity=20) as sandbox:
        assert (tmp_path / "secrets" / "athenaone").read_text() == secret
        days = httpx.get(f"{sandbox.athenaone_url}/sandbox/days")
    assert json.loads(days.text) == {"days": ["2026-09-15"]}


def test_a_port_in_use_is_reported_before_anything_starts(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SandboxFailed, match=f"port {port} .*in use.*was not started"):
            SandboxProcess(tmp_path / "home", athenaone_port=port).start()
    assert not (tmp_path / "home").exists()


def test_a_server_that_ends_is_reported_with_what_it_said(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()

    with pytest.raises(SandboxFailed, match="unable to open database file"):
        SandboxProcess(tmp_path).start()
