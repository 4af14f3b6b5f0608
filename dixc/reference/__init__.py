"""The reference: its method, the SCF of one molecule, the record that is kept of it, and its second derivatives."""
