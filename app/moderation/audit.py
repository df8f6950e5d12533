"""The audit trail and its exports: who did what to whom, when and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flask import Blueprint, Response, render_template, request
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from app.arguments import page_number
from app.current_actor import actor_reading
from app.moderation.words import ACTS
from shared.db import reading
from shared.services.authority import audit

bp = Blueprint("audit", __name__, url_prefix="/audit")
PER_PAGE = 50
Export = Callable[[Session], Iterator[str]]


@bp.get("")
def index() -> ResponseReturnValue:
    """List entries, newest first."""
    search = request.args.get("q", "").strip()[:100]
    act = request.args.get("act", "")
    about = request.args.get("target", "").strip()[:200]
    with actor_reading() as (session, _actor):
        page = audit.list_entries(session, search=search, act=act, about=about, page=page_number(), per_page=PER_PAGE)
        return render_template("moderation/audit.html", page=page, search=search, chosen=act, about=about, acts=ACTS)


@bp.get("/export.csv")
def export_csv() -> ResponseReturnValue:
    """Export the whole trail as CSV."""
    return _streamed(audit.export_csv, "text/csv", "audit-trail.csv")


@bp.get("/export.json")
def export_json() -> ResponseReturnValue:
    """Export the whole trail as JSON."""
    return _streamed(audit.export_json, "application/json", "audit-trail.json")


def _streamed(export: Export, mimetype: str, filename: str) -> Response:
    def pieces() -> Iterator[str]:
        with reading() as session:
            yield from export(session)

    headers = {"Content-Disposition": f'attachment; filename="{filename}"', "Cache-Control": "no-store"}
    return Response(pieces(), mimetype=mimetype, headers=headers)
