"""Total energies are fitted by least squares beside the optimizer, which follows all other terms.

The gradient of a molecule's energy by the parameters is fifty to a hundred times as long as that of the other terms
together, and nearly the same for all molecules. In one sum with them it is all that an optimizer sees: it follows the
sign of one molecule's energy error after another, and learns the rest less well than it could. Least squares knows how
to deal with such directions. With r the energy errors of the molecules met so far, a their gradients when they were met
last,

    r_m(theta) = b_m + a_m . theta

is known for all of them at any weights theta. After each step s of the optimizer weights change by the shortest c that
undoes what the step does to the energies, and takes a part of their errors away,

    c = -D A^T (A D A^T + RIDGE tr(A D A^T) / n)^-1 (A s + RELAXATION r),    D = eta / (sqrt(v) + ...)

in the metric of Adam's steps, of second moments v and learning rates eta: parameters on which the other terms depend
strongly, or that are to change slowly, are changed least. Without A s, the errors of a functional with wide layers
settle where RELAXATION takes away as much as a step adds, near 100 mEh with NN-mGGA. It is a Gauss-Newton step for the
energies alone (as in Kalman-filter training of neural network potentials: T. B. Blank, S. D. Brown, J. Chemometrics 8,
391 (1994)), from gradients that some steps old weights had. It costs nothing to speak of, and it is the same for every
loss. The rule is ours, not the paper's.
"""

from __future__ import annotations

import torch
from torch import Tensor

from dixc.training.linearised import Linearised

RELAXATION = 0.5  # of the errors before the optimizer's step, what is taken away
RIDGE = 1e-2  # of the mean eigenvalue: energies whose gradients differ less than this from the others' are not forced
LONGEST = 10.0  # largest change of a parameter, in learning rates: it comes to rest with them
FLOOR = 1e-3  # of the largest sqrt(v), added to all


class EnergyFit(Linearised):
    """Errors of total energies as linear functions of the parameters, and the step that takes them away."""

    def change(
        self, before: Tensor, parameters: Tensor, second_moments: Tensor, learning_rate: Tensor | float
    ) -> Tensor:
        """What to add to the parameters, (n_parameters,); see the module header.

        Args:
            before: parameters before the optimizer's step, (n_parameters,).
            parameters: those after it.
            second_moments: Adam's, (n_parameters,); their scale does not matter.
            learning_rate: of this step, of all or of each (n_parameters,).
        """
        if not self.by_molecule:
            return torch.zeros_like(parameters)
        roots = second_moments.sqrt()
        metric = roots.max() / (roots + FLOOR * roots.max()) if roots.max() > 0 else torch.ones_like(roots)
        metric = metric * learning_rate
        gradients = torch.cat([rows for rows, _ in self.by_molecule.values()])
        scaled = gradients * metric
        overlap = (scaled @ gradients.T).double()
        ridge = RIDGE * overlap.diagonal().mean() * torch.eye(len(overlap), dtype=overlap.dtype)
        step = parameters.double() - before.double()
        errors = RELAXATION * self.at(before) + gradients.double() @ step
        coefficients = torch.linalg.solve(overlap + ridge, errors)
        change = -scaled.T @ coefficients.to(scaled.dtype)
        longest = (change.abs() / learning_rate).max() / LONGEST
        return (change / max(1.0, float(longest))).to(parameters.dtype)
