"""Demo: a backup under load, everything lost, a restore, and the comparison."""
