"""Secrets are read where they are kept, follow rotation, and never show themselves."""

import os

import pytest

from athena_fusion.trust.secrets import SecretError, SecretRef

CANARY = "s3cr3t-canary-0417"


def test_env_is_read_at_the_time_of_use(monkeypatch):
    ref = SecretRef.parse("env:AF_TEST_SECRET")
    monkeypatch.setenv("AF_TEST_SECRET", CANARY)
    assert ref.reveal() == CANARY
    monkeypatch.setenv("AF_TEST_SECRET", "rotated")
    assert ref.reveal() == "rotated"


def test_file_is_read_again_when_it_changes(tmp_path):
    path = tmp_path / "secret"
    path.write_text("first\n")
    ref = SecretRef.parse(f"file:{path}")
    assert ref.reveal() == "first"
    path.write_text("other\n")  # same length: the time tells
    os.utime(path, ns=(1, 1))
    assert ref.reveal() == "other"


def test_replacing_a_file_is_seen_even_with_equal_time_and_size(tmp_path):
    path, new = tmp_path / "secret", tmp_path / "new"
    path.write_text("first")
    ref = SecretRef.parse(f"file:{path}")
    ref.reveal()
    new.write_text("other")
    stamp = path.stat().st_mtime_ns
    os.utime(new, ns=(stamp, stamp))
    new.replace(path)
    assert ref.reveal() == "other"


@pytest.mark.parametrize("form", [repr, str, "{}".format, "{!r}".format])
def test_no_form_shows_the_value(form, monkeypatch):
    monkeypatch.setenv("AF_TEST_SECRET", CANARY)
    ref = SecretRef.parse("env:AF_TEST_SECRET")
    ref.reveal()
    assert CANARY not in form(ref)
    assert "AF_TEST_SECRET" in form(ref)


def test_a_secret_typed_in_place_of_a_reference_is_not_repeated():
    with pytest.raises(SecretError) as caught:
        SecretRef.parse(CANARY)
    assert CANARY not in str(caught.value)


def test_absent_and_empty_secrets_are_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("AF_TEST_SECRET", raising=False)
    (tmp_path / "empty").write_text("\n")
    for text in ("env:AF_TEST_SECRET", f"file:{tmp_path}/absent", f"file:{tmp_path}/empty"):
        with pytest.raises(SecretError):
            SecretRef.parse(text).reveal()


def test_references_compare_by_place():
    assert SecretRef.parse("env:A") == SecretRef.parse("env:A")
    assert len({SecretRef.parse("env:A"), SecretRef.parse("env:A"), SecretRef.parse("file:A")}) == 2
