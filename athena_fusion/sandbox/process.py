"""The sandbox as a process of its own: started on free or given ports, waited for, and stopped."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self


class SandboxFailed(RuntimeError):
    """The sandbox did not come up; the message holds the end of what it said."""


class SandboxProcess:
    """Runs `athena_fusion.sandbox.server` on 127.0.0.1 with its state and log in `home`.

    Ports that are not given are chosen free. Usable as a context manager; `start` and `stop` may be repeated, the
    state in `home` stays.
    """

    def __init__(
        self,
        home: Path,
        *,
        athenaone_port: int | None = None,
        fusion_port: int | None = None,
        entities: int = 3,
        lines_per_entity: int = 100,
        seed: int | str = 7,
        follow_clock: bool = False,
    ) -> None:
        free = _free_ports(2)
        self.home = home
        self.athenaone_port = athenaone_port or free[0]
        self.fusion_port = fusion_port or free[1]
        self._options = [
            *("--home", str(home)),
            *("--athenaone-port", str(self.athenaone_port)),
            *("--fusion-port", str(self.fusion_port)),
            *("--entities", str(entities)),
            *("--lines-per-entity", str(lines_per_entity)),
            *("--seed", str(seed)),
            *(["--follow-clock"] if follow_clock else []),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def athenaone_url(self) -> str:
        """Base address of the athenaOne side."""
        return f"http://127.0.0.1:{self.athenaone_port}"

    @property
    def fusion_url(self) -> str:
        """Base address of the Fusion side."""
        return f"http://127.0.0.1:{self.fusion_port}"

    @property
    def dataview(self) -> Path:
        """The folder Data View deliveries appear in."""
        return self.home / "dataview"

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.home / "server.log"

    def ended(self) -> str:
        """Why a started sandbox is no longer there, in words; blank while it runs."""
        code = None if self._process is None else self._process.poll()
        return "" if code is None else f"the sandbox ended with code {code}; it said:\n{self._said()}"

    def start(self, timeout: float = 30.0) -> Self:
        """Start and wait until both sides answer. Raises `SandboxFailed`."""
        if self._process is not None:
            return self
        for port in (self.athenaone_port, self.fusion_port):
            _require_free(port)  # else the answers of whoever is there would be taken for ours
        self.home.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-m", "athena_fusion.sandbox.server", *self._options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
            )
        deadline = time.monotonic() + timeout
        while not (_answers(self.athenaone_url) and _answers(self.fusion_url)):
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                self.stop()
                what = "did not answer in time" if ended is None else f"ended with code {ended}"
                raise SandboxFailed(f"the sandbox {what}; it said:\n{self._said()}")
            time.sleep(0.05)
        return self

    def stop(self, timeout: float = 15.0) -> None:
        """Ask it to end, and make it end after `timeout` seconds."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _require_free(port: int) -> None:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as problem:
        raise SandboxFailed(
            f"port {port} on 127.0.0.1 cannot be used ({problem.strerror}); the sandbox was not started. "
            "Stop what listens there, or choose another port."
        ) from None


def _answers(url: str) -> bool:
    """Any HTTP answer counts, also a refusal."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/", timeout=2):
            return True
    except urllib.error.HTTPError as refusal:
        refusal.close()
        return True
    except OSError:
        return False
