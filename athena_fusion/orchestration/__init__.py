"""The only floor that knows Dagster: bindings from assets, checks, schedules and gates to the flows."""
