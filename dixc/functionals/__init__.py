"""Exchange-correlation functionals: their interface, those of dixc, the registry, and model files."""
