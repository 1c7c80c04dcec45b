"""Resources: thin factories around the platform. Secrets never pass through them, only references do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg
from pydantic import PrivateAttr

if TYPE_CHECKING:
    from athena_fusion.revenue.night import RevenueNight


class NightResource(dg.ConfigurableResource):
    """Opens the tenant's runtime, once per run: its steps work with one configuration."""

    tenant: str = ""
    _opened: RevenueNight | None = PrivateAttr(default=None)

    def open(self) -> RevenueNight:
        """The nightly flow, bound to the tenant's store, database, keys and clients."""
        from athena_fusion.runtime import Runtime

        if self._opened is None:
            self._opened = Runtime.shared(self.tenant or None).night()
        return self._opened
