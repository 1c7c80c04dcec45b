"""The command line: help without loading anything heavy, one line per mistake, exit codes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from athena_fusion.cli import cli, main
from athena_fusion.tenant.loader import default_tenant_dir


@pytest.fixture
def tenant(tmp_path, monkeypatch):
    folder = tmp_path / "tenant"
    shutil.copytree(default_tenant_dir(), folder)
    monkeypatch.setenv("ATHENA_FUSION_TENANT", str(folder))
    monkeypatch.setenv("ATHENA_FUSION_HOME", str(tmp_path / "home"))
    return folder


def run(*arguments):
    return CliRunner().invoke(cli, arguments)


def test_help_names_every_noun_and_loads_none_of_them():
    shown = run("--help").output
    for noun in ("audit", "config", "day", "demo", "evidence", "fbdi", "keys", "queue", "sandbox", "up"):
        assert noun in shown
    code = "import sys, athena_fusion.cli as c; c.cli.main(['--help'], standalone_mode=False); "
    code += "sys.exit(any(name in sys.modules for name in ('dagster', 'polars', 'sqlalchemy')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_every_command_has_help():
    for noun in ("audit", "config", "day", "evidence", "fbdi", "keys", "queue", "sandbox"):
        shown = run(noun, "--help")
        assert shown.exit_code == 0, noun
        assert "Commands:" in shown.output


def test_config_check_passes_and_lists_every_mistake_with_file_and_line(tenant):
    assert run("config", "check").exit_code == 0
    table = tenant / "crosswalks" / "x2_departments.csv"
    table.write_text(table.read_text() + "1011,2110,015,2026-05-01,\n9999,7777,015,2026-05-01,\n")
    shown = run("config", "check")
    assert shown.exit_code == 1
    assert "crosswalks/x2_departments.csv:8: " in shown.output
    assert "7777" in shown.output
    found = json.loads(run("config", "check", "--json").output)["findings"]
    assert {finding["file"] for finding in found} == {"crosswalks/x2_departments.csv"}


def test_keys_are_made_promoted_and_exported_without_their_private_half(tenant):
    kid = run("keys", "new", "manifest").output.split()[0]
    assert run("keys", "promote", kid).output == f"{kid} manifest active\n"
    exported = json.loads(run("keys", "export-jwks").output)["keys"]
    assert [key["kid"] for key in exported] == [kid]
    assert "d" not in exported[0]
    assert run("audit", "verify").output.startswith("audit chain verified: 2 events")


def test_an_empty_queue_and_an_unknown_item(tenant):
    assert json.loads(run("queue", "list", "--json").output) == []
    with pytest.raises(SystemExit) as stopped:
        main(["queue", "show", "Q0"])
    assert stopped.value.code == 1


def test_a_correction_says_one_thing(tenant):
    shown = run("queue", "correct", "Q0", "--reason", "x")
    assert shown.exit_code == 2
    assert "--fixed-in-fusion or --segment" in shown.output


def test_a_sandbox_that_does_not_run_is_named(tenant, monkeypatch):
    monkeypatch.setenv("FUSION_SANDBOX_URL", "http://127.0.0.1:9")
    shown = run("sandbox", "enable-segment", "CostCenter", "2130")
    assert shown.exit_code == 4


def test_a_layout_is_rebuilt_from_a_table(tmp_path: Path):
    table = tmp_path / "table.csv"
    table.write_text(
        "position,interface_table_column,type,max_length,required\n1,STATUS,VARCHAR2,50,Y\n2,AMOUNT,NUMBER,,N\n"
    )
    assert run("fbdi", "layout", str(table)).output == (
        "position,name,type,max_length,required\n1,STATUS,text,50,Y\n2,AMOUNT,number,,N\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["day", "run", "2020-01-01"], "there is no night for 2020-01-01"),
        (["day", "run", "2999-01-01"], "there is no night for 2999-01-01"),
        (["day", "run", "2026-09-15", "--entity", "999"], "no billing entity 999"),
    ],
)
def test_a_night_that_is_none_is_one_line(tenant, tmp_path, capsys, monkeypatch, arguments, said):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "dagster"))
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rcm_extract:", "other:", "has none for rcm_extract"),
        ("    submit: [", "    send: [", "has none for submit"),
        ("sqlite:///", "nosuch:///", "is not a sqlite:/// or postgresql:// address"),
        ("go_live: 2026-09-15", "go_live: 2031-01-01", "lies after the first night"),
    ],
)
def test_config_check_sees_what_a_night_would_meet(tenant, old, new, said):
    settings = tenant / "tenant.yaml"
    text = settings.read_text()
    assert old in text
    settings.write_text(text.replace(old, new))
    shown = run("config", "check")
    assert shown.exit_code == 1
    assert said in shown.output
    assert "tenant.yaml:" in shown.output


@pytest.mark.parametrize("action", ["promote", "retire", "revoke"])
def test_a_key_id_may_begin_with_a_dash(tenant, action):
    shown = run("keys", action, "-9Qx")
    assert "No such option" not in shown.output
    assert "no key -9Qx" in str(shown.exception)
