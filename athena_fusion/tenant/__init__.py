"""Tenant configuration as code: one folder of files, checked as a whole, identified by a hash."""
