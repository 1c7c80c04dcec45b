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


def test_a_port_in_use_is_reported_with_what_the_server_said(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        sandbox = SandboxProcess(tmp_path, athenaone_port=taken.getsockname()[1])
        with pytest.raises(SandboxFailed, match="address already in use"):
            sandbox.start()
    sandbox.stop()
