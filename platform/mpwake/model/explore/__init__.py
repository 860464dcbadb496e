"""Every interleaving of the model's agents: explicit states, packed, in a hash set that numba compiles."""
