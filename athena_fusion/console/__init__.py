"""What people see in a browser. Today: the guard in front of the Dagster UI; the operator console follows."""
