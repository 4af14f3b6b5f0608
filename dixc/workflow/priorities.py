"""Which jobs come first: those of the first seed, and in a seed what long jobs wait for."""

from __future__ import annotations

from dixc.config.base import LOSSES, Loss
from dixc.config.root import Config

SEED = 100  # between the seeds
TRAINING_DATA = 50
PREFIT = 40
LOSS = 10  # between the losses


def of_seed(config: Config, seed: int) -> int:
    """Of all that is made with a seed."""
    seeds = config.training.seeds
    return SEED * (len(seeds) - 1 - seeds.index(seed))


def first(config: Config) -> int:
    """Of what all seeds need, or none."""
    return of_seed(config, config.training.seeds[0])


def of_reference(config: Config, chunk: str) -> int:
    """Of the reference and its derivatives: training, the longest part, waits for them."""
    return first(config) + (0 if chunk.startswith("test") else TRAINING_DATA)


def of_prefit(config: Config, seed: int) -> int:
    """Of a pre-fit."""
    return of_seed(config, seed) + PREFIT


def of_training(config: Config, loss: Loss, seed: int) -> int:
    """Of a training: a loss with more terms takes longer and must not be the last to start."""
    return of_seed(config, seed) + LOSS * (1 + LOSSES.index(loss))


def of_evaluation(config: Config, functional: str) -> int:
    """Of what is measured with a functional: with the first seed's for baselines."""
    name = config.parse(functional)
    return of_seed(config, name.seed) if name.trained else first(config)
