"""One thin module per group of the graph. No business rule lives here."""
