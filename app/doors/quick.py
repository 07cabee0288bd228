"""A short way to an operation for requests in which everything is in order: the same reading, the same model, the same
function, without the steps FastAPI takes to find out what is wrong. Whatever is not in order goes the plain way."""

from collections.abc import Callable, Coroutine
from datetime import datetime
from typing import Any

from fastapi import Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from app.decision.refusal import Unreadable
from app.doors.dependencies import Caller
from app.doors.strict import StrictRequest, StrictRoute

_READ = (b"content-type", b"idempotency-key")

Given = Callable[[Request, Caller, datetime], tuple[Any, ...]]


def quick_route(*scopes: str, given: Given) -> type[StrictRoute]:
    """The route class of operations that need one of some scopes, and take a body and what is `given` of a request, its
    caller and its time."""

    class QuickRoute(StrictRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle, endpoint = super().get_route_handler(), self.endpoint
            model = self.dependant.body_params[0].field_info.annotation
            assert model is not None

            async def handle_quickly(request: Request) -> Response:
                state = request.app.state
                caller = Caller(request.scope["caller"], state.store, state.decision_log)
                strict = StrictRequest(request.scope, request.receive)
                if caller.key.scopes.isdisjoint(scopes) or not _is_plain(request):
                    return await handle(strict)
                try:
                    body = model.model_validate(await strict.json())
                except (Unreadable, ValidationError):
                    return await handle(strict)
                except ClientDisconnect:
                    raise HTTPException(400) from None
                answer: Response = await endpoint(body, *given(strict, caller, state.clock()))
                return answer

            return handle_quickly

    return QuickRoute


def _is_plain(request: Request) -> bool:
    """Whether a request has no parameters, no header that the operation reads, and says in the usual words that it is
    JSON."""
    sent = [(name, value) for name, value in request.scope["headers"] if name in _READ]
    return not request.scope["query_string"] and sent == [(b"content-type", b"application/json")]
