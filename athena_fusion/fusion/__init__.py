"""Clients of Oracle Fusion: erpintegrations and ESS jobs, scheduler, BI Publisher reports, journal batches."""
