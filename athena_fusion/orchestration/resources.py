"""Resources: thin factories around the platform. Secrets never pass through them, only references do."""

import dagster as dg

from athena_fusion.revenue.night import RevenueNight
from athena_fusion.runtime import Runtime


class NightResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Opens the tenant's runtime for one run."""

    tenant: str = ""

    def open(self) -> RevenueNight:
        """The nightly flow, bound to the tenant's store, database, keys and clients."""
        return Runtime.shared(self.tenant or None).night()
