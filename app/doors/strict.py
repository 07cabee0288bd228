"""Reading requests strictly, so that no typo and no ambiguity passes silently: JSON where each name occurs once, and
only query parameters that the operation has."""

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import Cookie, Header, Path
from fastapi.routing import APIRoute

from app.decision.refusal import Fault, Invalid
from app.documents import read_json
from app.doors.problems import nameable

_ELSEWHERE = (Cookie, Header, Path)


class StrictRequest(Request):
    """A request whose body is read strictly."""

    async def json(self) -> Any:
        """The value of the body. Raises Unreadable."""
        return read_json(await self.body())


class StrictRoute(APIRoute):
    """The route class of every door under /v1."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What FastAPI makes, behind a stricter reading."""
        handle = super().get_route_handler()
        # A field of a model of parameters is of no such kind; only the query is read into models here.
        known = frozenset(p.alias for p in get_flat_params(self.dependant) if not isinstance(p.field_info, _ELSEWHERE))

        async def handle_strictly(request: Request) -> Response:
            query = request.scope["query_string"]
            if query:
                _require_known(query, known)
            is_strict = isinstance(request, StrictRequest)
            return await handle(request if is_strict else StrictRequest(request.scope, request.receive))

        return handle_strictly


def _require_known(query: bytes, known: frozenset[str]) -> None:
    sent = dict.fromkeys(name for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True))
    faults = [
        Fault(f"query:{name}" if nameable(name) else "query", "unknown-parameter", "There is no such parameter here.")
        for name in sent
        if name not in known
    ]
    if faults:
        raise Invalid(*faults)
