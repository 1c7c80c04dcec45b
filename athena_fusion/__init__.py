"""athena_fusion: keeps Oracle Fusion Cloud in step with athenaOne, to the cent, with signed evidence."""
