"""What operators count: requests by route and status, decisions by reason, messages to webhooks by outcome. Served only
on the address they bind (`exposed`), never with anything of a person or caller in it."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.multiprocess import MultiProcessCollector

_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

disable_created_metrics()  # type: ignore[no-untyped-call]  # the library types it not
_requests = Histogram(
    "maywe_request_duration_seconds",
    "Requests by method, route and status, and how long they took.",
    ("method", "route", "status"),
    buckets=_BUCKETS,
)
_decisions = Counter("maywe_decisions", "Decisions by answer and reason.", ("decision", "reason"))
_webhook_messages = Counter("maywe_webhook_messages", "Messages to webhooks by what became of them.", ("outcome",))
_unlogged = Counter("maywe_decisions_unlogged", "Answers that the decision log had no room for.")


class NotBound(Exception):
    """The address for the metrics cannot be bound."""


def count_request(method: str, route: str | None, status: int | None, seconds: float) -> None:
    """One request was answered. The route is a template; None where no door was reached."""
    _answered(method if method in _METHODS else "other", route or "none", status or 0).observe(seconds)


def count_decisions(decisions: Iterable[tuple[bool, str]]) -> None:
    """Questions were answered: yes or no, and the reason."""
    for decision, reason in decisions:
        _decided(decision, reason).inc()


@cache
def _answered(method: str, route: str, status: int) -> Histogram:
    return _requests.labels(method, route, status)


@cache
def _decided(decision: bool, reason: str) -> Counter:
    return _decisions.labels("yes" if decision else "no", reason)


def count_unlogged() -> None:
    """An answer that was to be in the decision log is not."""
    _unlogged.inc()


def count_webhook_message(outcome: str) -> None:
    """A message to a webhook was tried, or given up for `dead`."""
    _webhook_messages.labels(outcome).inc()


@contextmanager
def exposed(address: str | None, *, workers: int) -> Iterator[None]:
    """Serve the metrics on host:port while the block runs; nowhere if None. With several workers, what each counts is
    added up through files. Raises NotBound."""
    if address is None:
        yield
        return
    host, _, port = address.rpartition(":")
    with tempfile.TemporaryDirectory(prefix="maywe-metrics-") as folder:
        registry = REGISTRY
        if workers > 1:
            os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder  # for the workers, which have yet to start
            registry = CollectorRegistry()
            MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call]  # the library types it not
        try:
            server, _ = start_http_server(int(port), host.strip("[]"), registry)
        except OSError as error:
            raise NotBound(f"MAYWE_METRICS_ADDRESS: {address} cannot be bound ({error.strerror})") from error
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
