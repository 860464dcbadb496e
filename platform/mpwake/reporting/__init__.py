"""Reports: each reads the events of a run, or the run that they fold into, and nothing else."""
