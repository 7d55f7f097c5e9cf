"""The OpenAPI document of the routes: what FastAPI knows of them, and the problems that any route of their kind can answer.

A route itself names only what is its own (``problems.documented``); what follows from its form is added here, in one place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import TypeAdapter

from nsm.serve.answers import Problem
from nsm.serve.problems import documented

ANY: Final = (403, 503)  # the guard refuses strange Hosts and Origins; the store may fail
ABOUT: Final = (
    "Log in for a cookie (`nsm_session`), and send the `csrf` of `/api/v1/me` as `X-CSRF-Token` with whatever changes something;"
    " or send a token of `nsm users token add`, which needs neither. Times are UTC. Every problem is `application/problem+json`."
)


def document(app: FastAPI) -> dict[str, Any]:
    """The document; made once for an application, since its routes do not change."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=ABOUT, routes=app.routes)
        schemas = made["components"]["schemas"]
        for unused in ("HTTPValidationError", "ValidationError"):  # FastAPI's own; ours are problems
            schemas.pop(unused, None)
        problem = TypeAdapter(Problem).json_schema(ref_template="#/components/schemas/{model}")
        schemas.update({**problem.pop("$defs"), "Problem": problem})
        for operation in _operations(made):
            _add_problems(operation)
        _leave_open(made)
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
    for status, answer in documented(*statuses).items():
        responses.setdefault(str(status), answer)
    operation["responses"] = dict(sorted(responses.items()))


def _leave_open(node: Any) -> None:
    """Take out ``additionalProperties: true`` beside named properties: it says nothing, and makes types of pages vague."""
    children: list[Any] = list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []
    if isinstance(node, dict) and node.get("additionalProperties") is True and "properties" in node:
        del node["additionalProperties"]
    for child in children:
        _leave_open(child)
