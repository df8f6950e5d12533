"""Users and their roles."""

from __future__ import annotations

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.accounts.identity import admin_required
from app.admin.forms import RoleForm
from app.arguments import page_number
from app.current_actor import actor_transaction
from app.forms import sentence
from shared.db import reading
from shared.errors import Forbidden, Invalid
from shared.models.user import ROLES
from shared.services import users

bp = Blueprint("admin_users", __name__, url_prefix="/admin/users")
PER_PAGE = 50


@bp.get("")
@admin_required
def index() -> ResponseReturnValue:
    """List all users, or those that match a search."""
    return _page(request.args.get("q", "").strip()[:100])


@bp.post("/<username>/role")
@admin_required
def set_role(username: str) -> ResponseReturnValue:
    """Set the role of a user."""
    form = RoleForm()
    if not form.validate():
        raise Invalid("there is no such role", field="role")
    try:
        with actor_transaction() as (session, actor):
            user = users.set_role(session, actor, username=username, role=form.role.data)
    except Forbidden as error:
        if error.field != "role":  # the viewer is not allowed to set roles
            raise
        flash(sentence(error.message), "notice")
        return _page(username), 403
    flash(f"{user.username} is now {user.role}.", "success")
    return redirect(url_for(".index", q=user.username), 303)


def _page(search: str) -> str:
    with reading() as session:
        page = users.list_users(session, search=search, page=page_number(), per_page=PER_PAGE)
        return render_template("admin/users.html", page=page, search=search, roles=ROLES)
