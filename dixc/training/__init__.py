"""DI-Loss training: data, the model's own SCF, loss terms, the optimisation loop."""
