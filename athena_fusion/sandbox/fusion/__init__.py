"""The sandbox's Oracle Fusion pod: identity domain, erpintegrations, scheduler, Journal Import, reports.

Strict on purpose: what a pod refuses is refused here, and what a pod lets pass in silence passes in silence.
"""
