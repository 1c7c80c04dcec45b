"""`athena-fusion keys`: signing keys, their rotation, and the public set that auditors trust."""

import click

from athena_fusion.cli.output import console, emit_json, table
from athena_fusion.runtime import Runtime
from athena_fusion.trust.keys import PURPOSES

# A thumbprint may begin with a dash; it is an argument all the same.
_KID_FIRST = {"ignore_unknown_options": True}

purpose_argument = click.argument("purpose", type=click.Choice(PURPOSES))


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
def list_keys() -> None:
    """All keys with their state and window."""
    rows = [
        [key.kid, key.purpose, key.state, str(key.not_before or ""), str(key.not_after or "")]
        for key in Runtime.shared().keys.all()
    ]
    console.print(table("Signing keys", ["kid", "purpose", "state", "from", "to"], rows))


@keys.command()
@purpose_argument
def new(purpose: str) -> None:
    """Make a key in state `next`: publish it at least seven days before it is promoted."""
    key = _changed("new", Runtime.shared().keys.new(purpose))  # type: ignore[arg-type]  # a Choice of PURPOSES
    console.print(key)


@keys.command(context_settings=_KID_FIRST)
@click.argument("kid")
@click.option("--early", is_flag=True, help="Before seven days of publication have passed.")
def promote(kid: str, early: bool) -> None:
    """Make a `next` key the active one; its predecessor is retired."""
    console.print(_changed("promote", Runtime.shared().keys.promote(kid, early=early)))


@keys.command(context_settings=_KID_FIRST)
@click.argument("kid")
def retire(kid: str) -> None:
    """End a key's use; what it signed stays valid."""
    console.print(_changed("retire", Runtime.shared().keys.retire(kid)))


@keys.command(context_settings=_KID_FIRST)
@click.argument("kid")
def revoke(kid: str) -> None:
    """Declare a key compromised from now on."""
    console.print(_changed("revoke", Runtime.shared().keys.revoke(kid)))


@keys.command("export-jwks")
def export_jwks() -> None:
    """The public key set, for auditors: it must reach them by another way than the packs."""
    emit_json(Runtime.shared().keys.jwks())


def ensure_keys() -> None:
    """One active key per purpose, made where there is none."""
    ring = Runtime.shared().keys
    for purpose in PURPOSES:
        ring.ensure(purpose)


def _changed(action: str, key: object) -> str:
    from athena_fusion.trust.keys import PublicKey

    assert isinstance(key, PublicKey)
    Runtime.shared().audit.append(f"key.{action}", "ok", kid=key.kid, purpose=key.purpose)
    return f"{key.kid} {key.purpose} {key.state}"
