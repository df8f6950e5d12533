"""Forms of accounts."""

from __future__ import annotations

from wtforms import EmailField, PasswordField, StringField
from wtforms.validators import EqualTo, Length

from app.forms import FlaskForm, follows, required, strip
from shared.services import rules
from shared.services.users import PASSWORD_SHORTEST


def without_nul(value: str | None) -> str | None:
    """No account's name or email holds a NUL, and PostgreSQL cannot even look for one."""
    return value.replace("\0", "") if value else value


class RegisterForm(FlaskForm):
    """A new account."""

    username = StringField("Username", [required("Choose a username."), follows(rules.username)], filters=[strip])
    email = EmailField(
        "Email",
        [required("Give an email address."), follows(rules.email)],
        filters=[strip],
    )
    password = PasswordField(
        "Password",
        [
            required("Choose a password."),
            Length(min=PASSWORD_SHORTEST, message=f"The password must have {PASSWORD_SHORTEST} characters at least."),
        ],
    )
    password_confirmation = PasswordField(
        "The same password again", [EqualTo("password", "The two passwords are not the same.")]
    )


class SignInForm(FlaskForm):
    """An account that exists."""

    login = StringField(
        "Username or email",
        [required("Type your username or your email.")],
        filters=[strip, without_nul],
    )
    password = PasswordField("Password", [required("Type your password.")])
