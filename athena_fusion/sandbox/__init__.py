"""athenaOne and Oracle Fusion on localhost: what the product is tried against, and imports nothing of it."""
