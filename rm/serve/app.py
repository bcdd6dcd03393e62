"""The routes.

    app = create_app(Service(reward, Limits()), KeyCheck())

`/docs` shows them with examples. Bodies are read by `rm.serve.messages`, not by fastapi, which would take NaN for
JSON and repeat a client's text in its refusals.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json

from rm import __version__
from rm.errors import DataError, MissingExtra, TraceLiftError
from rm.evaluate.score import row_of
from rm.reward.parts import RewardResult
from rm.serve.access import DOCS_ASSETS, KeyCheck
from rm.serve.batching import Busy, Closing
from rm.serve.guard import Guard, while_connected
from rm.serve.messages import (
    Message,
    OpenRLHFRequest,
    OpenRLHFResponse,
    RefusalBody,
    RewardRequest,
    RewardResponse,
    ScoreRequest,
    ScoreResponse,
    read_body,
)
from rm.serve.metrics import CONTENT_TYPE
from rm.serve.openrlhf import response_of, rows_of_request
from rm.serve.refusals import Field, Refusal
from rm.serve.service import Service

try:
    from fastapi import FastAPI, Request, Response
    from fastapi.openapi.utils import get_openapi
    from fastapi_offline import FastAPIOffline
    from starlette.exceptions import HTTPException
except ModuleNotFoundError as error:
    raise MissingExtra(str(error.name).replace("_", "-"), "serve", "The server") from None

LOG = logging.getLogger("rm.serve")
JSON = "application/json"
ALONE = (
    "this server has a reward model alone, with no formula and no executor, so there are no full rewards. Make a "
    "bundle of it (tracelift-rm reward export) and serve that; the model's scores are at /score and /get_reward"
)
REFUSALS: dict[int | str, dict[str, Any]] = {
    code: {"model": RefusalBody, "description": about}
    for code, about in {
        400: "no JSON",
        401: "no key, or another",
        404: "what is served does not have this",
        413: "too large, or too many items",
        422: "wrong fields, each named",
        429: "the queue is full; see Retry-After",
        503: "shutting down, or failed",
    }.items()
}


def create_app(service: Service, key: KeyCheck) -> FastAPI:
    """The application.

    Args:
        service: what is served; it starts and ends with the application.
        key: who may ask.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPIOffline(  # fastapi's own page of documentation is blank without a network
        title="TraceLift-RM",
        version=__version__,
        description="Scores of reasoning traces by a rubric reward model, and full TraceLift rewards.",
        lifespan=lifespan,
        redoc_url=None,
        static_url=DOCS_ASSETS,
    )
    _add_routes(app, service)
    _document(app, (ScoreRequest, OpenRLHFRequest, RewardRequest), key.required)
    paths = frozenset(str(getattr(route, "path", "")) for route in app.routes)
    app.add_middleware(Guard, key=key, limits=service.limits, metrics=service.metrics, paths=paths)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _not_found)
    app.add_exception_handler(Exception, _failed)
    return app


def _add_routes(app: FastAPI, service: Service) -> None:
    limits = service.limits

    @app.get("/health", summary="Whether the server runs, and by which formula it rewards")
    async def health() -> dict[str, str | None]:
        return {"status": "ok", "version": __version__, "formula": service.formula}

    @app.get(
        "/ready", summary="Whether it can score, and if not why not", responses={503: {"description": "not ready"}}
    )
    async def ready() -> Response:
        reasons = await service.unready()
        return _json({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    @app.get("/metrics", summary="Prometheus metrics")
    async def metrics() -> Response:
        return Response(service.metrics.page(), media_type=CONTENT_TYPE)

    @app.post(
        "/score",
        summary="Scores of texts: the official contract",
        response_model=ScoreResponse,
        responses=REFUSALS,
        openapi_extra=_body_of(ScoreRequest),
    )
    async def score(request: Request) -> Response:
        if service.rubric is None:
            raise Refusal.of(404, "this reward has no reward model; see /reward")
        content = await request.body()
        asked = read_body(content, ScoreRequest, limits, ("items",))
        rows = [row_of(item.model_dump(), service.rubric) for item in asked.items]
        blank = [index for index, row in enumerate(rows) if not row.problem.strip()]
        if blank:
            raise Refusal(422, [Field(f"items[{index}].problem", "expected text, found blanks") for index in blank])
        _check_lengths([vars(row) for row in rows], "items", service)
        results = await _answer(request, service.score(rows, asked.max_length))
        shown = [result.model_dump(exclude=set() if result.unscorable else {"unscorable"}) for result in results]
        return _json(shown if content.lstrip()[:1] == b"[" else {"scores": shown})

    @app.post(
        "/get_reward",
        summary="Rewards of completions: OpenRLHF's contract",
        response_model=OpenRLHFResponse,
        responses=REFUSALS,
        openapi_extra=_body_of(OpenRLHFRequest),
    )
    async def get_reward(request: Request) -> Response:
        asked = read_body(await request.body(), OpenRLHFRequest, limits, ("query", "prompts", "labels"))
        rows = rows_of_request(asked)
        results = await _rewards(request, service, rows, "labels")
        return _json(response_of(results, service.substitute).model_dump())

    @app.post(
        "/reward",
        summary="Full rewards of completions, with their parts",
        response_model=RewardResponse,
        responses=REFUSALS,
        openapi_extra=_body_of(RewardRequest),
    )
    async def reward(request: Request) -> Response:
        if service.formula is None:
            raise Refusal.of(404, ALONE)
        asked = read_body(await request.body(), RewardRequest, limits, ("items",))
        results = await _rewards(request, service, asked.items, "items")
        return _json({"rewards": [result.as_row() for result in results]})


async def _rewards(request: Request, service: Service, rows: list[dict[str, Any]], name: str) -> list[RewardResult]:
    """Rewards of problem rows with completions; `name` is where they stand in the request."""
    try:
        items = service.rewarder.check(rows)
    except DataError as error:
        wrong = [
            Field(
                f"{problem.file.replace('items', name, 1)}.{problem.field}".rstrip("."), f"expected {problem.expected}"
            )
            for problem in error.problems
        ]
        raise Refusal(422, wrong) from None
    _check_lengths([{key: text for key, text in row.items() if isinstance(text, str)} for row in rows], name, service)
    _check_lengths([vars(text) for text in service.rewarder.texts(items)], name, service)
    return await _answer(request, service.rewarder.score(rows, items))


WRITTEN = frozenset({"completion", "reasoning"})
"""What planners write: as long as they like, and judged, item by item, as it is in-process."""


def _check_lengths(rows: Sequence[Mapping[str, str]], name: str, service: Service) -> None:
    """Raises: Refusal with every given text that is too long; `name` is where the rows stand in the request."""
    limit = service.limits.text
    wrong = [
        Field(f"{name}[{index}].{key}", f"expected at most {limit} characters, found {len(text)}")
        for index, row in enumerate(rows)
        for key, text in row.items()
        if len(text) > limit and key not in WRITTEN
    ]
    if wrong:
        raise Refusal(422, wrong)


async def _answer(request: Request, work: Any) -> Any:
    """The result of work that waits for the model, given up when the client hangs up."""
    try:
        return await while_connected(request.receive, work)
    except Busy as busy:
        raise Refusal.of(429, str(busy), headers={"Retry-After": str(busy.retry_after)}) from None
    except Closing as closing:
        raise Refusal.of(503, str(closing)) from None
    except TraceLiftError as error:
        raise Refusal.of(503, str(error), headers={"Retry-After": "5"}) from None


def _json(value: Any, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type=JSON)


def _body_of(model: type[Message]) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": schema}}}}


def _document(app: FastAPI, requests: tuple[type[BaseModel], ...], needs_key: bool) -> None:
    """Add the forms of requests and the key, which fastapi does not see, to the OpenAPI page."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            page = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            _, defined = models_json_schema(
                [(model, "validation") for model in requests], ref_template="#/components/schemas/{model}"
            )
            page.setdefault("components", {}).setdefault("schemas", {}).update(defined["$defs"])
            if needs_key:
                page["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
                page["security"] = [{"key": []}]
            app.openapi_schema = page
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _refusal_response(refusal: Refusal) -> Response:
    return Response(to_json(refusal.to_dict()), refusal.status, dict(refusal.headers), media_type=JSON)


async def _refused(request: Request, error: Exception) -> Response:
    if not isinstance(error, Refusal):
        raise error
    return _refusal_response(error)


async def _not_found(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    return _refusal_response(Refusal.of(error.status_code, error.detail, headers=error.headers))


async def _failed(request: Request, error: Exception) -> Response:
    """A defect: its traceback goes to the server's log, never to a client."""
    return _refusal_response(Refusal.of(500, "an unexpected failure; see the server's log"))
