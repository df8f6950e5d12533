"""The public list of moderation acts and their reasons, without names."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from app.arguments import page_number
from shared.db import reading
from shared.services.authority import audit

bp = Blueprint("transparency", __name__)
PER_PAGE = 50


@bp.get("/transparency")
def index() -> ResponseReturnValue:
    """List the acts, newest first."""
    with reading() as session:
        return render_template(
            "safety/transparency.html", page=audit.list_public(session, page=page_number(), per_page=PER_PAGE)
        )
