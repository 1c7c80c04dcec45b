"""`athena-fusion`: everything an operator, an accountant, an auditor or an engineer does from a terminal.

One module per noun. Exit codes: 0 ok, 1 findings, 2 usage, 3 blocked by policy, 4 upstream down.
"""

import importlib
from collections.abc import Sequence

import click

_NOUNS = {
    "audit": "the chained audit log",
    "config": "the tenant's configuration",
    "day": "one business day: run it, look at it",
    "demo": "a sandbox business day, to a verified evidence pack",
    "evidence": "evidence packs",
    "fbdi": "file formats of Fusion imports",
    "keys": "signing keys",
    "queue": "what was not done, and why: correct and reload",
    "sandbox": "athenaOne and Oracle Fusion on this machine",
    "up": "the Dagster UI and daemon, with the sandbox where the tenant uses it",
}


class _Nouns(click.Group):
    """Imports a noun's module only when it is used: `--help` stays fast."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _NOUNS:
            return None
        module = importlib.import_module(f"athena_fusion.cli.{cmd_name}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Nouns"):
            formatter.write_dl([(noun, _NOUNS[noun]) for noun in self.list_commands(ctx)])


@click.group(cls=_Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="athena-fusion")
def cli() -> None:
    """Keeps Oracle Fusion Cloud in step with athenaOne, to the cent, with signed evidence."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the console script."""
    from athena_fusion.cli.output import run

    run(cli, arguments)
