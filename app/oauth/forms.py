"""The form in which owners of games, and admins for applications, set up signing in."""

from __future__ import annotations

from wtforms import SelectChoice, SelectField, TextAreaField

from app.edit_form import EditForm
from app.forms import OptionalCheckbox, follows, strip
from shared.models.sign_in import ID_TOKEN_ALGORITHMS
from shared.services.oauth import clients
from shared.services.oauth.clients import Client, SignInSettings


class SignInSettingsForm(EditForm):
    """How people sign in to a game or application."""

    redirect_uris = TextAreaField(
        "Where players return after signing in", [follows(clients.clean_redirect_uris)], filters=[strip]
    )
    logout_uris = TextAreaField(
        "Where players return after signing out", [follows(clients.clean_logout_uris)], filters=[strip]
    )
    requires_secret = OptionalCheckbox("Require the client secret")
    has_private_ids = OptionalCheckbox("Use ids that only this game knows")
    id_token_algorithm = SelectField(
        "Signature of ID tokens", choices=[SelectChoice(name, name) for name in ID_TOKEN_ALGORITHMS]
    )

    @classmethod
    def of(cls, client: Client) -> SignInSettingsForm:
        """Return a form that starts with what is registered."""
        return cls(data=cls.values_of(client))

    @staticmethod
    def values_of(client: Client) -> dict[str, object]:
        """Return the values of a form that starts with what is registered."""
        settings = clients.settings_of(client)
        return {
            "redirect_uris": "\n".join(settings.redirect_uris),
            "logout_uris": "\n".join(settings.logout_uris),
            "requires_secret": settings.requires_secret,
            "has_private_ids": settings.has_private_ids,
            "id_token_algorithm": settings.id_token_algorithm,
        }

    def settings(self) -> SignInSettings:
        """Return what was filled in."""
        return SignInSettings(
            redirect_uris=str(self.redirect_uris.data or "").split(),
            logout_uris=str(self.logout_uris.data or "").split(),
            requires_secret=self.requires_secret.data,
            has_private_ids=self.has_private_ids.data,
            id_token_algorithm=self.id_token_algorithm.data,
        )
