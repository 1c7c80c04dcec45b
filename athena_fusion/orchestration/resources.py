"""Resources: thin factories around the platform. Secrets never pass through them, only references do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

if TYPE_CHECKING:
    from athena_fusion.revenue.night import RevenueNight


class NightResource(dg.ConfigurableResource):
    """Opens the tenant's runtime for one run."""

    tenant: str = ""

    def open(self) -> RevenueNight:
        """The nightly flow, bound to the tenant's store, database, keys and clients."""
        from athena_fusion.runtime import Runtime

        return Runtime.shared(self.tenant or None).night()
