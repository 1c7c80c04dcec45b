"""Child processes of a command: each with its own group and log, stopped whole, none left behind."""

import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

_SAID = 2000  # characters of a log that are worth showing


class Child:
    """A Python module run as a process. What it starts itself belongs to its group and ends with it."""

    def __init__(self, name: str, arguments: Sequence[str], log: Path, folder: Path) -> None:
        self.name, self.log = name, log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            # A group of its own: a Ctrl-C in the terminal reaches us only, and we stop the children in order.
            self._process = subprocess.Popen(  # noqa: S603 - our own arguments, no shell
                arguments,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ended(self) -> str:
        """Why it is no longer there, in words with the end of its log; blank while it runs."""
        code = self._process.poll()
        if code is None:
            return ""
        said = self.log.read_text(encoding="utf-8", errors="replace")[-_SAID:]
        return f"the {self.name} ended with code {code}; its log {self.log} ends with:\n{said}"

    def ask_to_stop(self) -> None:
        """SIGTERM to the whole group."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)

    def stop(self, seconds: float) -> None:
        """Ask, wait up to `seconds`, then end whatever is left of the group."""
        self.ask_to_stop()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
