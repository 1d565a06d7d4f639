"""The pages of auth: register, log in, log out, settings."""

from typing import Any
from urllib.parse import urlencode

from flask import Blueprint, Response, make_response, redirect, render_template, request

from services.auth import service
from services.auth.collaborators import collaborators
from services.auth.constants import EMAIL_MAX, LOGIN_LIMIT, REGISTRATION_ATTEMPTS_LIMIT, REGISTRATION_LIMIT
from services.auth.cookies import give_session, session_token, take_session
from services.auth.errors import FieldsRefused, WrongCredentials
from services.auth.schemas import ClosedForm, DeletionForm, LoginForm, RegistrationForm
from services.auth.service import Device
from shared import logs
from shared.web.client import client_address
from shared.web.identity import current_identity, current_user, login_required
from shared.web.limits import limiter
from shared.web.redirects import HOME, safe_next
from shared.web.unit_of_work import read, transaction

NOTICES = {
    "registered": "Your account is ready if the address was new; log in.",
    "logged-out": "You are logged out.",
    "deleted": "Your account is deleted.",
}
"""What the login page says on top after a redirect, by the word in ``?notice=``."""

pages = Blueprint("pages", __name__)
log = logs.logger(__name__)
_password_limit = limiter.shared_limit(LOGIN_LIMIT, scope="password")
"""Wherever a password is asked, the guesses of one address count together."""


def _accepted(response: Response) -> bool:
    return response.status_code == 303


@pages.get("/register")
def registration() -> Response:
    """The form to open an account; the site's front page brings the address along in ``?email=``."""
    if current_user.is_authenticated:
        return _see_other(HOME)
    email = request.args.get("email", "")[:EMAIL_MAX]
    return _page("auth/register.html", 200, form=RegistrationForm(formdata=None, next=_wanted(), email=email))


@pages.post("/register")
@limiter.limit(REGISTRATION_ATTEMPTS_LIMIT)
@limiter.limit(REGISTRATION_LIMIT, deduct_when=_accepted)
def register() -> Response:
    """Open an account. The answer is the same whether the address was new or known."""
    form = RegistrationForm()
    if form.validate_on_submit():
        try:
            prepared = service.prepare_registration(
                collaborators().passwords, form.user_name.data, form.email.data, form.password.data
            )
            with transaction() as session:
                service.register(session, prepared)
        except FieldsRefused as refusal:
            _show(refusal, form)
        else:
            return _see_other(_login_page("registered", form.next.data))
    return _page("auth/register.html", 422, form=form)


@pages.get("/login")
def login_form() -> Response:
    """The form to log in."""
    if current_user.is_authenticated:
        return _see_other(safe_next(request.args.get("next")))
    notice = NOTICES.get(request.args.get("notice", ""))
    return _page("auth/login.html", 200, form=LoginForm(formdata=None, next=_wanted()), notice=notice)


@pages.post("/login")
@_password_limit
def log_in() -> Response:
    """Begin a session under a new token; the one that the browser came with ends."""
    form = LoginForm()
    if not form.validate_on_submit():
        return _page("auth/login.html", 422, form=form, notice=None)
    try:
        with read() as connection:
            person = service.find_credentials(connection, form.login.data)
        verified = service.verify_login(collaborators().passwords, person, form.password.data)
        with transaction() as session:
            token = service.log_in(session, verified, _device(), previous=session_token())
    except WrongCredentials as refusal:
        log.info("login refused", address=client_address())
        form.form_errors.append(refusal.message)
        return _page("auth/login.html", refusal.status, form=form, notice=None)
    response = _see_other(safe_next(form.next.data))
    give_session(response, token)
    return response


@pages.post("/logout")
def log_out() -> Response:
    """End the session and have the browser forget it."""
    token = session_token()
    if token is not None:
        with transaction() as session:
            service.log_out(session, token)
    response = _see_other(_login_page("logged-out"))
    take_session(response)
    return response


@pages.get("/settings")
@login_required
def settings() -> Response:
    """A person's own account."""
    return _settings_page(200, DeletionForm(formdata=None))


@pages.post("/settings")
@login_required
@_password_limit
def delete_account() -> Response:
    """Delete one's account; the password is asked again."""
    form = DeletionForm()
    if form.validate_on_submit():
        try:
            with read() as connection:
                person = service.own_credentials(connection, current_identity().user_id)
            verified = service.verify_again(collaborators().passwords, person, form.password.data)
            with transaction() as session:
                service.close_account(session, verified)
        except FieldsRefused as refusal:
            _show(refusal, form)
        else:
            response = _see_other(_login_page("deleted"))
            take_session(response)
            return response
    return _settings_page(422, form)


def _settings_page(status: int, form: DeletionForm) -> Response:
    with read() as connection:
        profile = service.own_profile(connection, current_identity().user_id)
    if profile is None:  # deleted within the minute that the identity still lives
        return _see_other(_login_page("deleted"))
    return _page("auth/settings.html", status, profile=profile, form=form)


def _page(template: str, status: int, **values: Any) -> Response:
    return make_response(render_template(template, **values), status)


def _show(refusal: FieldsRefused, form: ClosedForm) -> None:
    for fault in refusal.errors:
        form[fault["field"]].errors = [fault["message"]]


def _see_other(place: str) -> Response:
    return make_response(redirect(place, 303))


def _login_page(notice: str, wanted: str | None = None) -> str:
    query = {"notice": notice}
    if wanted and (place := safe_next(wanted)) != HOME:
        query["next"] = place
    return f"/login?{urlencode(query)}"


def _wanted() -> str:
    """Where to go after the form, as the address of its page says."""
    return safe_next(request.args.get("next"))


def _device() -> Device:
    return Device(request.headers.get("User-Agent", ""), client_address())
