"""Activations with shared derivatives against torch's own, to the order that training needs."""

from __future__ import annotations

import pytest
import torch

from dixc.functionals.activations import ACTIVATIONS, activation, shared, sharing


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_derivatives_are_autograds(name):
    z = torch.linspace(-12, 12, 49, dtype=torch.float64).requires_grad_()  # 0 is among them
    found, expected = shared(name, z), ACTIVATIONS[name](z)
    for _ in range(4):
        assert torch.allclose(found, expected, rtol=1e-12, atol=1e-14)
        found, expected = (torch.autograd.grad(y.sum(), z, create_graph=True)[0] for y in (found, expected))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_one_graph_serves_several_passes(name):
    z = torch.tensor([-1.3, 0.4, 2.0], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(shared(name, z).sum(), z, create_graph=True)
    rows = [torch.autograd.grad(slope[i], z, create_graph=True)[0] for i in range(3)]
    expected = torch.func.hessian(lambda y: ACTIVATIONS[name](y).sum())(z.detach())
    assert torch.allclose(torch.stack(rows).detach(), expected, rtol=1e-12)
    (third,) = torch.autograd.grad(sum((i + 1) * row.sum() for i, row in enumerate(rows)), z)
    plain = torch.autograd.grad(ACTIVATIONS[name](z).sum(), z, create_graph=True)[0]
    plain = torch.autograd.grad(plain.sum(), z, create_graph=True)[0]
    (weighted,) = torch.autograd.grad((plain * torch.tensor([1.0, 2.0, 3.0])).sum(), z)
    assert torch.allclose(third, weighted, rtol=1e-12)


def test_sharing_ends_with_its_block():
    z = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    with sharing(True):
        assert "Derivative" in type(activation("gelu")(z).grad_fn).__name__
        with sharing(False):
            assert "Gelu" in type(activation("gelu")(z).grad_fn).__name__
    assert "Gelu" in type(activation("gelu")(z).grad_fn).__name__
