"""The reference: its method, SCF of one molecule, record, and second derivatives."""
