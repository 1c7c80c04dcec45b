"""The tenant's configuration in the form the accounting and posting functions take."""

from athena_fusion.accounting.matrix import Policies
from athena_fusion.revenue.mapping import Accounts, Tables
from athena_fusion.revenue.night.context import chart_of
from athena_fusion.tenant.model import Tenant


def crosswalk_tables(tenant: Tenant) -> Tables:
    """X1 to X10, and the tenant's version as their hash."""
    frames = {name: tenant.crosswalks[name].frame for name in ("x2", "x3", "x4", "x5", "x8", "x10")}
    return Tables(x1=tenant.tables["billing_entities"], sha256=tenant.version_hash, **frames)


def account_tables(tenant: Tenant) -> Accounts:
    """Accounts by role with the chart and the fall-back of X5."""
    return Accounts(
        table=tenant.tables["accounts"],
        chart=chart_of(tenant),
        default_revenue_role=tenant.default_revenue.account_role,
        default_service_line=tenant.default_revenue.service_line,
    )


def policies(tenant: Tenant) -> Policies:
    """The customer's accounting choices."""
    return Policies(bad_debt=tenant.policies.bad_debt, mips=tenant.policies.mips)
