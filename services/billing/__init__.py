"""Billing: what somebody may do."""
