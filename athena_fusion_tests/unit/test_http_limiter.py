"""The shared rate limit: never more permits in a second than allowed, over threads and processes."""

import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import httpx

from athena_fusion.clock import ManualClock, SystemClock
from athena_fusion.http import HttpClient, Limiter

START = datetime(2026, 9, 16, 6, 0, tzinfo=UTC)

WORKER = """
import sys, time
from pathlib import Path
from athena_fusion.clock import SystemClock
from athena_fusion.http import Limiter
limiter = Limiter(Path(sys.argv[1]), "athenaone", 10, SystemClock())
for _ in range(4):
    limiter.acquire()
    print(time.time())
"""


def test_permits_are_spread_on_the_injected_clock(tmp_path: Path) -> None:
    clock = ManualClock(START)
    limiter = Limiter(tmp_path / "permits.db", "athenaone", 5, clock)
    times = []
    for _ in range(16):
        limiter.acquire()
        times.append((clock.now() - START).total_seconds())
    limiter.close()
    assert all(later - earlier >= 1.0 for earlier, later in zip(times, times[5:], strict=False))
    assert times[4] == 0.0
    assert times[-1] < 4.0


def test_two_names_do_not_share_permits(tmp_path: Path) -> None:
    clock = ManualClock(START)
    limiters = [Limiter(tmp_path / "permits.db", name, 1, clock) for name in ("athenaone", "fusion")]
    for limiter in limiters:
        limiter.acquire()
        limiter.close()
    assert clock.now() == START


def test_every_call_takes_a_permit(tmp_path: Path) -> None:
    clock = ManualClock(START)
    limiter = Limiter(tmp_path / "permits.db", "x", 2, clock)
    transport = httpx.MockTransport(lambda _: httpx.Response(200, json={}))
    with HttpClient("https://a.test", clock=clock, limiter=limiter, transport=transport) as http:
        for _ in range(5):
            http.get("/x")
    limiter.close()
    assert (clock.now() - START).total_seconds() >= 2.0


def test_threads_and_processes_share_one_limit(tmp_path: Path) -> None:
    path, times, lock = tmp_path / "permits.db", list[float](), threading.Lock()
    limiter = Limiter(path, "athenaone", 10, SystemClock())
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]

    def take() -> None:
        import time

        for _ in range(3):
            limiter.acquire()
            with lock:
                times.append(time.time())

    threads = [threading.Thread(target=take) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        out, _ = worker.communicate(timeout=30)
        times += [float(line) for line in out.split()]
    limiter.close()
    times.sort()
    assert len(times) == 14
    # The stamp is taken a moment after the permit, so a window may look a little shorter than it was.
    assert all(later - earlier > 0.8 for earlier, later in zip(times, times[10:], strict=False))
