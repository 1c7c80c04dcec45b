"""Credentials never reach a log."""

import io
import json
import logging

import pytest

from athena_fusion.trust.masking import mask, mask_handlers

CANARY = "Canary0417SecretValue"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJDYW5hcnkifQ.c2lnbmF0dXJlQ2FuYXJ5"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CANARY}",
        f"authorization: bearer {CANARY}",
        f"Authorization: Basic {CANARY}==",
        f"{{'Authorization': 'Basic {CANARY}'}}",
        f"client_id=x&client_secret={CANARY}&grant_type=client_credentials",
        f"GET https://host/path?token={CANARY}&page=2",
        f"https://host/file?X-Amz-Signature={CANARY}",
        f"https://user:{CANARY}@host/path",
        json.dumps({"access_token": CANARY, "expires_in": 3600}),
        str({"client_secret": CANARY}),
        f"client_secret: {CANARY}",
        f"password={CANARY}",
        f"x-api-key: {CANARY}",
    ],
)
def test_every_form_of_a_credential_is_masked(text):
    masked = mask(text)
    assert CANARY not in masked
    assert "***" in masked


def test_bare_tokens_are_masked():
    assert mask(f"answer was {JWT}.") == "answer was ***."


@pytest.mark.parametrize(
    "text",
    [
        "token endpoint answered 503 after 3 calls",
        "GET https://host/v1/195900/claims?page=2&limit=100",
        "ESS request 4711 of job JournalImportLauncher ended SUCCEEDED",
        "evidence/2026-09-15/101/rcm-gl/manifests/00-extract.a1.json",
        "sha256 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "athena/service/Athenanet.MDP.*",
    ],
)
def test_ordinary_text_is_left_alone(text):
    assert mask(text) == text


def test_masking_twice_changes_nothing():
    once = mask(f"Authorization: Bearer {CANARY}, client_secret={CANARY}")
    assert mask(once) == once


def test_log_records_arguments_and_tracebacks_are_masked():
    stream = io.StringIO()
    logger = logging.getLogger("af.canary")
    logger.propagate = False
    logger.addHandler(logging.StreamHandler(stream))
    mask_handlers(logger)
    mask_handlers(logger)
    child = logging.getLogger("af.canary.child")
    try:
        child.warning("sent %s", {"Authorization": f"Bearer {CANARY}"})
        try:
            raise ValueError(f"refused: client_secret={CANARY}")
        except ValueError:
            child.exception("failed")
    finally:
        (handler,) = logger.handlers
        logger.removeHandler(handler)
    assert len(handler.filters) == 1
    assert CANARY not in stream.getvalue()
    assert "ValueError" in stream.getvalue()
