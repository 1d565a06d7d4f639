"""The pages of billing: what can be had, and what a person has."""

from flask import Blueprint, render_template

from services.billing import service
from services.billing.plans import current_plans
from shared.web.identity import current_identity, login_required
from shared.web.unit_of_work import read

pages = Blueprint("pages", __name__)


@pages.get("/pricing")
def pricing() -> str:
    """All plans, for everybody."""
    plans = current_plans()
    return render_template("billing/pricing.html", plans=list(plans), default=plans.default)


@pages.get("/subscription")
@login_required
def subscription() -> str:
    """The plan a person is on, and what it allows."""
    with read() as connection:
        plan = service.current_plan(connection, current_plans(), current_identity().user_id)
    return render_template("billing/subscription.html", plan=plan)
