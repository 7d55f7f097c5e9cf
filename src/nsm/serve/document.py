"""The OpenAPI document of the routes: what FastAPI knows of them, and the problems that any route of their kind can answer.

A route itself names only what is its own (``problems.documented``); what follows from its form is added here, in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import TypeAdapter
from starlette.types import Lifespan

from nsm.model.discovery import modules_with_spec
from nsm.serve.answers import Problem
from nsm.serve.problems import MEANINGS, documented

VERSION: Final = "1"  # of the routes, as in their path
ANY: Final = (403, 503)  # the guard refuses strange Hosts and Origins; the store may fail
ABOUT: Final = (
    "Log in for a cookie (`nsm_session`), and send the `csrf` of `/api/v1/me` as `X-CSRF-Token` with whatever changes something;"
    " or send a token of `nsm users token add`, which needs neither. Times are UTC. Every problem is `application/problem+json`."
)


def with_routes(lifespan: Lifespan[FastAPI] | None = None) -> tuple[FastAPI, list[APIRoute]]:
    """An application with every route of ``nsm.serve.api`` and nothing behind them, and these routes."""
    app = FastAPI(title="netsecmonitor", version=VERSION, lifespan=lifespan, openapi_url=None)
    routes: list[APIRoute] = []
    for _name, router in modules_with_spec("nsm.serve.api"):
        app.include_router(router)
        routes += [route for route in router.routes if isinstance(route, APIRoute)]
    return app, routes


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once for an application, since its routes do not change."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
        schemas = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; ours are problems
            schemas.pop(unused, None)
        problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update({**problem.pop("$defs"), "Problem": problem})
        made["components"]["responses"] = {_name(status): answer for status, answer in documented(*MEANINGS).items()}
        for operation in _operations(made):
            _add_problems(operation)
        _tidy(made)
        app.openapi_schema = made
    return app.openapi_schema


def _operations(made: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for verbs in made["paths"].values():
        yield from verbs.values()


def _add_problems(operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    responses.pop("422", None)
    statuses = [*ANY]
    if "security" in operation:
        statuses.append(401)
    if "parameters" in operation or "requestBody" in operation:
        statuses.append(400)
    if "requestBody" in operation:
        statuses += (413, 415)
    for status in MEANINGS:
        if status in statuses or str(status) in responses:
            responses[str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
    operation["responses"] = dict(sorted(responses.items()))


def _name(status: int | str) -> str:
    """The name of a problem's answer among the components."""
    return f"Problem{status}"


def _tidy(node: Any) -> None:
    """Take out what says nothing: titles made from the names of properties, and that further properties may come."""
    children: list[Any] = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, dict) and isinstance(properties := node.get("properties"), dict):
        if node.get("additionalProperties") is True:  # it would make the page's types vague
            del node["additionalProperties"]
        for child in properties.values():
            child.pop("title", None)
    if isinstance(node, dict) and "in" in node and "schema" in node:
        node["schema"].pop("title", None)
    for child in children:
        _tidy(child)
