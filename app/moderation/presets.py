"""Preset reasons, which moderators see and admins edit. Forms with a reason offer them with `reasons()`."""

from __future__ import annotations

from flask import Blueprint, Flask, flash, redirect, url_for
from flask.typing import ResponseReturnValue

from app.current_actor import actor_reading, actor_transaction
from app.errors import errors_on
from app.moderation.forms import PresetForm
from app.templating import form_page
from shared.conduct import RULES
from shared.db import reading
from shared.services.authority.permissions import Act, may, require
from shared.services.moderation import presets

bp = Blueprint("presets", __name__, url_prefix="/presets")


def init_app(app: Flask) -> None:
    """Give templates `reasons()`: the presets as they are used."""
    app.add_template_global(_list_reasons, "reasons")


@bp.get("")
def index() -> ResponseReturnValue:
    """List the presets, with a form to add one for admins."""
    return _page(PresetForm())


@bp.post("")
def create() -> ResponseReturnValue:
    """Add a preset."""
    form = PresetForm()
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                presets.create_preset(session, actor, rule=form.rule.data or "", text=form.text.data or "")
            flash("The reason has been added.", "success")
            return redirect(url_for(".index"), 303)
    return _page(form, needs_admin=True)


@bp.route("/<id:preset_id>", methods=["GET", "POST"])
def show(preset_id: int) -> ResponseReturnValue:
    """Change a preset."""
    with actor_reading() as (session, actor):
        require(actor, Act.EDIT_PRESETS)
        preset = presets.get_preset(session, preset_id)
        form = PresetForm(data=presets.form_of(preset))
    if form.validate_on_submit():
        with errors_on(form):
            with actor_transaction() as (session, actor):
                form.merge(presets.form_of(presets.get_preset(session, preset_id)))
                presets.update_preset(
                    session, actor, preset_id=preset_id, rule=form.rule.data or "", text=form.text.data or ""
                )
            flash("The reason has been saved.", "success")
            return redirect(url_for(".index"), 303)
    return form_page("moderation/preset.html", form, preset=preset)


@bp.post("/<id:preset_id>/delete")
def delete(preset_id: int) -> ResponseReturnValue:
    """Delete a preset. Sanctions keep their reasons."""
    with actor_transaction() as (session, actor):
        presets.delete_preset(session, actor, preset_id=preset_id)
    flash("The reason has been deleted. Sanctions that cite it keep it.", "success")
    return redirect(url_for(".index"), 303)


def _page(form: PresetForm, *, needs_admin: bool = False) -> ResponseReturnValue:
    with actor_reading() as (session, actor):
        if needs_admin:
            require(actor, Act.EDIT_PRESETS)
        stored = presets.list_presets(session)
        may_edit = may(actor, Act.EDIT_PRESETS)
    return form_page("moderation/presets.html", form, presets=stored, rules=RULES, may_edit=may_edit)


def _list_reasons() -> list[str]:
    with reading() as session:
        return [preset.reason for preset in presets.list_presets(session)]
