"""The electronic core: grids, integrals, the derivatives of functionals, Hamiltonians and states."""
