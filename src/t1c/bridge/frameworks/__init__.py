"""Other spiking frameworks: their neurons and the modules they expect to find."""
