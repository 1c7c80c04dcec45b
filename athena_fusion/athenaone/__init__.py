"""Clients of athenaOne: the athenaNet API and Data View deliveries."""
