"""`make bench-control`: the control plane alone, and what it costs the data plane."""
