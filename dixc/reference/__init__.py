"""The reference method: which there may be, its records, and their derivatives."""
