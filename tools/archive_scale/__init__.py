"""How far an archive's run scales: stage costs measured on this machine, and a simulation with up
to 1,000 GPUs, which nobody here has."""
