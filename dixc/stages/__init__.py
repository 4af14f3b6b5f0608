"""The stages of a run: one module each with one `run(...)`, called by the command of the same name."""
