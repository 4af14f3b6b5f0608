"""Which loss a run speaks for, by its validation molecules alone: test molecules that chose a loss would be no test."""

from __future__ import annotations

from itertools import combinations

import pandas as pd

from dixc.tables.compare import compare, listed
from dixc.tables.metrics import BY_NAME

# what a user of a functional gains or loses; those without validation rows do not count
EVIDENCE = ("e_tot_mae_mEh", "e_rho_mEh", "tddft_mae_eV", "warmstart_fock_builds_accelerate")
FEWEST = 3  # validation molecules
RULE = (
    "A loss is recommended if on the validation molecules it is clearly better than each other loss in some metric, "
    "and clearly worse than none in any. Metrics are the total energy and E_rho, and excitations and accelerated "
    "builds if the run has them for validation. Test molecules do not enter, so that their figures stay a test. The "
    "validation molecules have also chosen the best weights of each training."
)
OPPOSITE = {"better": "worse", "worse": "better", "no clear change": "no clear change"}
Verdicts = dict[tuple[str, str], dict[str, str]]


def recommendations(config, tables: dict[str, pd.DataFrame]) -> list[str]:
    """A sentence for every model of the run: the loss that is recommended, or why none is."""
    return [f"{model.key}: {_words(config, tables, model.key)}" for model in config.models]


def recommended(config, tables: dict[str, pd.DataFrame], model: str) -> str | None:
    """The loss of a model that is clearly ahead on its validation molecules; None if none is."""
    verdicts, count = _verdicts(config, tables, model)
    return _winner(config.training.losses, verdicts) if count >= FEWEST else None


def _words(config, tables: dict[str, pd.DataFrame], model: str) -> str:
    losses = config.training.losses
    if len(losses) < 2:
        return f"no loss can be recommended: the run has {losses[0]} alone."
    verdicts, count = _verdicts(config, tables, model)
    if count < FEWEST:
        return (
            f"no loss can be recommended: {count or 'no'} validation molecule{'' if count == 1 else 's'} with results "
            f"of all losses, and at least {FEWEST} are needed."
        )
    one_seed = "; one seed, so with reserve" if len(config.training.seeds) == 1 else ""
    where = f"on the {count} validation molecules"
    winner = _winner(losses, verdicts)
    if winner:
        gains = [
            f"than {other} on {listed(_labels(verdicts, winner, other, 'better'))}"
            for other in losses
            if other != winner
        ]
        better = f"clearly better {listed(gains)}, and nowhere clearly worse"
        return f"{winner} is recommended: {where} it is {better}{one_seed}."
    leaders: dict[str, list[str]] = {}
    for metric in EVIDENCE:
        for loss in losses:
            if all(verdicts[loss, other].get(metric) == "better" for other in losses if other != loss):
                leaders.setdefault(loss, []).append(BY_NAME[metric].label)
    if leaders:
        words = "; ".join(f"{loss} is best for {listed(labels)}" for loss, labels in leaders.items())
        return f"no loss can be recommended for everything: {where} {words}{one_seed}."
    return f"no loss can be recommended: {where} none is clearly ahead of all others{one_seed}."


def _verdicts(config, tables: dict[str, pd.DataFrame], model: str) -> tuple[Verdicts, int]:
    """Verdict on the first of two losses by metric, for every ordered pair; the fewest common molecules of a pair."""
    verdicts: Verdicts = {}
    counts = []
    for old, new in combinations(config.training.losses, 2):
        changes = [compare(tables, name, (model, new), (model, old), "validation") for name in EVIDENCE]
        found = {change.metric: change.verdict for change in changes if change is not None}
        counts.append(min((change.n for change in changes if change is not None), default=0))
        verdicts[new, old] = found
        verdicts[old, new] = {metric: OPPOSITE[verdict] for metric, verdict in found.items()}
    return verdicts, min(counts, default=0)


def _winner(losses: list[str], verdicts: Verdicts) -> str | None:
    for loss in losses:
        others = [verdicts[loss, other].values() for other in losses if other != loss]
        if others and all("better" in found and "worse" not in found for found in others):
            return loss
    return None


def _labels(verdicts: Verdicts, loss: str, other: str, wanted: str) -> list[str]:
    return [BY_NAME[metric].label for metric, verdict in verdicts[loss, other].items() if verdict == wanted]
