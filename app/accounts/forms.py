"""Forms of accounts."""

from __future__ import annotations

from wtforms import EmailField, PasswordField, StringField, TextAreaField
from wtforms.validators import EqualTo, Length

from app.edit_form import EditForm
from app.forms import FlaskForm, checkbox, follows, required, strip
from shared import validation
from shared.models.user import User
from shared.services.profile_details import ProfileDetails
from shared.services.users import PASSWORD_LONGEST, PASSWORD_SHORTEST


def remove_nul(value: str | None) -> str | None:
    """Remove NUL characters, which PostgreSQL rejects and no account's name or email contains."""
    return value.replace("\0", "") if value else value


def email_field(label: str) -> EmailField:
    """Return the field for an email address."""
    return EmailField(label, [required("Enter an email address."), follows(validation.email)], filters=[strip])


def new_password(label: str) -> PasswordField:
    """Return the field for a new password."""
    return PasswordField(
        label,
        [
            required("Choose a password."),
            Length(min=PASSWORD_SHORTEST, message=f"The password must have at least {PASSWORD_SHORTEST} characters."),
            Length(max=PASSWORD_LONGEST, message=f"The password can have at most {PASSWORD_LONGEST:,} characters."),
        ],
    )


def repeated_password(label: str) -> PasswordField:
    """Return the field that repeats the new password, to catch typing errors."""
    return PasswordField(label, [EqualTo("password", "The passwords do not match.")])


class RegisterForm(FlaskForm):
    """Register a new account."""

    username = StringField("Username", [required("Choose a username."), follows(validation.username)], filters=[strip])
    email = email_field("Email")
    password = new_password("Password")
    password_confirmation = repeated_password("Repeat the password")


class SignInForm(FlaskForm):
    """Sign in to an account."""

    login = StringField(
        "Username or email",
        [required("Enter your username or email.")],
        filters=[strip, remove_nul],
    )
    password = PasswordField("Password", [required("Enter your password.")])


class ResetRequestForm(FlaskForm):
    """Request a mail with a link to reset the password."""

    email = email_field("Email")


class ResetForm(FlaskForm):
    """Choose a new password, with the link from the mail."""

    password = new_password("New password")
    password_confirmation = repeated_password("Repeat the new password")


class ChangePasswordForm(FlaskForm):
    """Choose a new password, with the current one."""

    current_password = PasswordField("Current password", [required("Enter your password.")])
    password = new_password("New password")
    password_confirmation = repeated_password("Repeat the new password")


class ChangeEmailForm(FlaskForm):
    """Change the email address."""

    email = email_field("New email")
    current_password = PasswordField("Your password", [required("Enter your password.")])


class DeleteAccountForm(FlaskForm):
    """Delete the account."""

    current_password = PasswordField("Your password", [required("Enter your password.")])


class ProfileForm(EditForm):
    """What a person says about themselves."""

    pronouns = StringField("Pronouns", filters=[strip])
    about = TextAreaField("About you", filters=[strip])
    links = TextAreaField("Links", filters=[strip])

    @staticmethod
    def values_of(details: ProfileDetails) -> dict[str, object]:
        """Return the values of a form that starts with these details."""
        return {"about": details.about, "pronouns": details.pronouns, "links": "\n".join(details.links)}

    def details(self) -> ProfileDetails:
        """Return what was filled in. Each line of `links` is a link."""
        return ProfileDetails(self.about.data or "", self.pronouns.data or "", (self.links.data or "").split())


class PrivacyForm(EditForm):
    """Choose what others can see."""

    hide_profile = checkbox("Hide my profile")
    hide_online = checkbox("Hide when I am online")

    @staticmethod
    def values_of(user: User) -> dict[str, object]:
        """Return the values of a form that starts with this user's settings."""
        return {"hide_profile": user.is_profile_hidden, "hide_online": user.is_online_hidden}
