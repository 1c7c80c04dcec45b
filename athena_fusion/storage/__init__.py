"""Where things are kept: the artifact store (files) and the state database (SQL)."""
