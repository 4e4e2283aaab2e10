"""For the operator: the learnt policies of routes."""

from api.schema.shapes import (
    COUNT,
    FLAG,
    NUMBER,
    POSITIVE,
    TEXT,
    THING,
    TIME,
    Operations,
    Schema,
    answer,
    body,
    given,
    in_path,
    kind,
    listing,
    many,
    maybe,
    operation,
    query,
    ref,
    said,
    taken,
    whole,
    words,
)
from penstock.routing.drift import STATES

_RATE = given({"value": maybe(NUMBER), "of": NUMBER, "at_calibration": maybe(NUMBER)})

SCHEMAS: dict[str, Schema] = {
    "Route": given(
        {
            "id": TEXT,
            "object": kind("route"),
            "strategy": TEXT,
            "steps": many(TEXT, 1),
            "accept": THING,
            "shadow": NUMBER,
            "artefact": said(maybe(COUNT), "The version of the learnt policy in use."),
            "problem": said(maybe(TEXT), "Why the active version is not used."),
        }
    ),
    "RouteArtefact": given(
        {
            "object": kind("route.artefact"),
            "route": TEXT,
            "version": POSITIVE,
            "active": FLAG,
            "created_at": TIME,
            "made_by": TEXT,
            "note": TEXT,
            "report": said(THING, "What calibration measured."),
        }
    ),
    "RouteStatus": given(
        {
            "id": TEXT,
            "object": kind("route.status"),
            "artefact": maybe(COUNT),
            "hours": POSITIVE,
            "state": words(*STATES),
            "reasons": many(TEXT),
            "score_shift": said(maybe(NUMBER), "Population stability index of the learnt scores; 0.25 is much."),
            "escalation": _RATE,
            "agreement": _RATE,
            "shadow": _RATE,
            "strange": said(_RATE, "Prompts unlike those of calibration."),
            "shadow_samples": given({"asked": COUNT, "compared": COUNT, "agreed": COUNT, "cost": NUMBER}),
        }
    ),
}

_ROUTE = in_path("route", "The name of a route.")
_VERSION = in_path("version", "The number of a version.")

OPERATIONS: Operations = {
    ("GET", "/admin/routes"): operation(answer(listing(ref("Route")))),
    ("GET", "/admin/routes/{route}"): operation(answer(ref("Route")), "404", parameters=(_ROUTE,)),
    ("GET", "/admin/routes/{route}/artefacts"): operation(
        answer(listing(ref("RouteArtefact"))), "404", parameters=(_ROUTE,)
    ),
    ("POST", "/admin/routes/{route}/artefacts"): operation(
        answer(ref("RouteArtefact")),
        "404",
        parameters=(_ROUTE,),
        request=body(
            taken(
                {"document": said(THING, "As `penstock calibrate --out` writes it.")},
                {"note": {**TEXT, "maxLength": 1000}, "activate": FLAG},
            ),
            {"document": {"kind": "verifier"}, "note": "from last night's batches", "activate": True},
        ),
    ),
    ("POST", "/admin/routes/{route}/artefacts/{version}/activate"): operation(
        answer(ref("RouteArtefact")), "404", parameters=(_ROUTE, _VERSION)
    ),
    ("DELETE", "/admin/routes/{route}/artefacts/active"): operation(
        answer(given({"id": TEXT, "object": kind("route"), "active": maybe(COUNT)})), "404", parameters=(_ROUTE,)
    ),
    ("GET", "/admin/routes/{route}/status"): operation(
        answer(ref("RouteStatus")),
        "400",
        "404",
        parameters=(_ROUTE, query("hours", {**whole(1, 2160), "default": 72}, "How far back is looked.")),
    ),
}
