"""Forms of accounts."""

from __future__ import annotations

from wtforms import EmailField, PasswordField, StringField
from wtforms.validators import EqualTo, Length

from app.forms import FlaskForm, checkbox, follows, required, strip
from shared.services import validation
from shared.services.users import PASSWORD_LONGEST, PASSWORD_SHORTEST


def without_nul(value: str | None) -> str | None:
    """No account's name or email holds a NUL, and PostgreSQL cannot even look for one."""
    return value.replace("\0", "") if value else value


def email_field(label: str) -> EmailField:
    """An address."""
    return EmailField(label, [required("Give an email address."), follows(validation.email)], filters=[strip])


def new_password(label: str) -> PasswordField:
    """A password that is chosen."""
    return PasswordField(
        label,
        [
            required("Choose a password."),
            Length(min=PASSWORD_SHORTEST, message=f"The password must have {PASSWORD_SHORTEST} characters at least."),
            Length(max=PASSWORD_LONGEST, message=f"The password may have {PASSWORD_LONGEST:,} characters at most."),
        ],
    )


def again(label: str) -> PasswordField:
    """The same once more, since nobody sees what they type."""
    return PasswordField(label, [EqualTo("password", "The two passwords are not the same.")])


class RegisterForm(FlaskForm):
    """A new account."""

    username = StringField("Username", [required("Choose a username."), follows(validation.username)], filters=[strip])
    email = email_field("Email")
    password = new_password("Password")
    password_confirmation = again("The same password again")


class SignInForm(FlaskForm):
    """An account that exists."""

    login = StringField(
        "Username or email",
        [required("Type your username or your email.")],
        filters=[strip, without_nul],
    )
    password = PasswordField("Password", [required("Type your password.")])


class ResetRequestForm(FlaskForm):
    """An address to send the way back in to."""

    email = email_field("Email")


class ResetForm(FlaskForm):
    """A new password for who reads the account's mail."""

    password = new_password("New password")
    password_confirmation = again("The new password again")


class ChangePasswordForm(FlaskForm):
    """A new password for who knows the old one."""

    current_password = PasswordField("Your password now", [required("Type your password.")])
    password = new_password("New password")
    password_confirmation = again("The new password again")


class ChangeEmailForm(FlaskForm):
    """Another address, for who knows the password."""

    email = email_field("New email")
    current_password = PasswordField("Your password", [required("Type your password.")])


class DeleteAccountForm(FlaskForm):
    """The end, for who knows the password."""

    current_password = PasswordField("Your password", [required("Type your password.")])


class PrivacyForm(FlaskForm):
    """What others may see."""

    hide_profile = checkbox("Hide my profile")
    hide_online = checkbox("Hide when I am online")
