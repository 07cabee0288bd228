"""The change feed: from commit to waiting poller, the weight of idle pollers, the cost of a page as the ledger grows.

`python -m bench.feed` measures all on SQLite; `--pollers` and `--events` make it smaller.
"""

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from app import cursors
from app.crypto import Secrets
from app.cursors import Cursor
from app.storage import schema
from tests.conftest import catalogue
from tests.harness import sql
from tests.harness.service import Maywe, in_process, served, settings_for

WRITES = 200
ASKS = 300
PAGES = 300
REFUSE = {"purpose": "ads", "choice": "refuse"}
GIVE = {"purpose": "ads", "choice": "give"}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--pollers", type=int, default=5000)
    options.add_argument("--events", type=int, default=1_000_000)
    chosen = options.parse_args()
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(files, min(most, 2 * chosen.pollers + 500)), most))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(Path(folder), chosen.pollers, chosen.events))


async def measure(folder: Path, pollers: int, events: int) -> None:
    """Each figure on a database of its own."""
    await wake_up(await new(folder / "wake.db"))
    await idle(await new(folder / "idle.db"), pollers)
    small = await page_cost(await new(folder / "small.db"), 10_000)
    large = await page_cost(await new(folder / "large.db"), events)
    print(f"page of 100 at 10,000 events: {small:.2f} ms; at {events:,}: {large:.2f} ms; ratio {large / small:.2f}")


async def new(path: Path) -> str:
    """A database with a catalogue in force."""
    url = f"sqlite:///{path}"
    await asyncio.to_thread(schema.upgrade, url)
    async with in_process(url) as maywe:
        await maywe.publish(catalogue("scenarios/catalogue.yaml"))
    return url


async def wake_up(url: str) -> None:
    """From the answer to a write (after its commit) to the answer to a poller, on the same instance and on another."""
    async with in_process(url) as maywe:
        with served(url) as (here, _), served(url) as (there, _):
            for name, polled in (("same instance", here), ("another instance", there)):
                await report_delays(name, [await delay(maywe, here, polled, n) for n in range(WRITES)])


async def report_delays(name: str, delays: list[float]) -> None:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(delays, n=100)
    print(f"commit to delivery, {name}: median {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms")


async def delay(maywe: Maywe, written: str, polled: str, n: int) -> float:
    """One write seen by one poller, in seconds."""
    headers = maywe.http.headers
    async with httpx.AsyncClient(headers=headers, timeout=40) as http:
        now = (await http.get(f"{polled}/v1/changes?after=now")).json()["next"]
        waiting = asyncio.create_task(http.get(f"{polled}/v1/changes?after={now}&wait=30"))
        await asyncio.sleep(0.15)
        subject = {"type": "customer", "id": f"{polled}-{n}"}
        body = {"subject": subject, "choices": [REFUSE], "method": "api"}
        answered = asyncio.create_task(http.post(f"{written}/v1/choices", json=body))
        answered_at, told_at = await asyncio.gather(at_end_of(answered), at_end_of(waiting))
        assert len(waiting.result().json()["changes"]) == 1
        return max(told_at - answered_at, 0)


async def at_end_of(task: "asyncio.Task[httpx.Response]") -> float:
    """When a task ends."""
    await task
    return time.perf_counter()


async def idle(url: str, pollers: int) -> None:
    """What a poller weighs that waits, and what checks cost beside them."""
    async with in_process(url) as maywe:
        key = maywe.http.headers["Authorization"]
        with served(url) as (address, process):
            async with httpx.AsyncClient(base_url=address, headers=maywe.http.headers) as http:
                alone = await check_time(http)
                before = memory(process.pid)
                connections = [await hang(address, key) for _ in range(pollers)]
                await asyncio.sleep(3 + pollers / 500)  # all have been answered that they wait
                weight = (memory(process.pid) - before) / pollers
                beside = await check_time(http)
                for _, writer in connections:
                    writer.close()
    print(
        f"{pollers} idle pollers: {weight / 1024:.1f} KB each; check {alone:.2f} ms alone, {beside:.2f} ms beside them"
    )


async def hang(address: str, key: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A poller that waits."""
    parts = urlsplit(address)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(
        f"GET /v1/changes?after=now&wait=30 HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: {key}\r\n\r\n".encode()
    )
    await writer.drain()
    return reader, writer


async def check_time(http: httpx.AsyncClient) -> float:
    """The median of some checks, in milliseconds."""
    body = {"subject": {"type": "customer", "id": "somebody"}, "purpose": "ads"}
    return await median(http, "POST", "/v1/check", ASKS, json=body)


def memory(pid: int) -> int:
    """The resident memory of a process, in octets."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) * 1024


async def page_cost(url: str, events: int) -> float:
    """The median of pages of 100 from the middle of a ledger of so many events, in milliseconds."""
    async with in_process(url) as maywe:
        choice = {"subject": {"type": "customer", "id": "one"}, "choices": [GIVE], "notice": "conformance-1"}
        await maywe.http.post("/v1/choices", json={**choice, "method": "api"})
        await asyncio.to_thread(fill, url, events)
        (epoch,) = sql.rows(url, "SELECT epoch FROM ledger_head")[0]
        middle = events // 2
        digest = bytes(sql.rows(url, "SELECT digest FROM ledger WHERE position = :at", at=middle)[0][0])
        current, previous = settings_for(url).key_bytes()
        cursor = Cursor(epoch, middle, cursors.ALL_ROWS, digest[:4], cursors.EVERYTHING)
        after = cursors.write_cursor(Secrets(current, previous), cursor)
        assert len((await maywe.http.get(f"/v1/changes?after={after}&limit=100")).json()["changes"]) == 100
        return await median(maywe.http, "GET", f"/v1/changes?after={after}&limit=100", PAGES)


def fill(url: str, events: int) -> None:
    """Repeat the second entry of a ledger until there are so many."""
    sql.execute(
        url,
        "WITH RECURSIVE n(p) AS (SELECT 3 UNION ALL SELECT p + 1 FROM n WHERE p < :events) "
        "INSERT INTO ledger SELECT n.p, event_id || n.p, type, subject_id, purpose, channel, scope, occurred_at, "
        "recorded_at, data, randomblob(32) FROM n, ledger WHERE position = 2",
        "UPDATE ledger_head SET position = :events",
        events=events,
    )


async def median(http: httpx.AsyncClient, method: str, path: str, times: int, **request: object) -> float:
    """The median time of some requests, in milliseconds."""
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        answer = await http.request(method, path, **request)  # type: ignore[arg-type]  # handed on as they came
        taken.append(time.perf_counter() - begun)
        assert answer.status_code == 200, answer.text
    return statistics.median(taken) * 1000


if __name__ == "__main__":
    main()
