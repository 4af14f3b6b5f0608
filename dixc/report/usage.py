"""The trained functionals of a run: which loss to take, their files, and Python that uses one."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from dixc.config import Config
from dixc.reference.method import is_hartree_fock
from dixc.report.losses import best_by_mean
from dixc.tables.judge import Verdict
from dixc.tables.metrics import Metric, tagged
from dixc.tables.results import Results
from dixc.tables.schema import FunctionalKey
from dixc.text import counted, listed

FEWEST = 3  # validation molecules that a recommendation needs
RECOMMENDATION_RULE = (
    "A loss is recommended if on the validation molecules it is better than each other loss in some "
    "metric, and worse than none in any. Metrics are the total energy and E_rho, and excitations and "
    "accelerated builds if the run has them for validation. Test molecules do not enter, so that their "
    "figures stay a test. The validation molecules have also chosen the best weights of each training."
)


class Recommendation:
    """Which loss of a model the validation molecules speak for.

    Attributes:
        verdicts: verdict on the first of two losses by metric, for every ordered pair.
        count: the fewest common validation molecules of a pair.
        by_mean: the loss with the best mean of each metric, in words.
        winner: the loss that is ahead of all others; None if there is none.
    """

    def __init__(self, results: Results, model: str) -> None:
        self.model, self.losses = model, list(results.config.training.losses)
        self.by_mean = best_by_mean(results, model, tagged("evidence"), "validation")
        self.verdicts: dict[tuple[str, str], dict[Metric, Verdict]] = {}
        counts = []
        for old, new in combinations(self.losses, 2):
            pair = FunctionalKey(model, new), FunctionalKey(model, old)
            changes = [results.change(metric.name, *pair, "validation") for metric in tagged("evidence")]
            present = [change for change in changes if change is not None]
            counts.append(min((change.n for change in present), default=0))
            self.verdicts[new, old] = {change.metric: change.verdict for change in present}
            self.verdicts[old, new] = {change.metric: change.verdict.opposite for change in present}
        self.count = min(counts, default=0)
        ahead = [loss for loss in self.losses if self._is_ahead(loss)]
        self.winner = ahead[0] if ahead and self.count >= FEWEST else None

    def _others(self, loss: str) -> list[str]:
        return [other for other in self.losses if other != loss]

    def _is_ahead(self, loss: str) -> bool:
        verdicts = [self.verdicts[loss, other].values() for other in self._others(loss)]
        return bool(verdicts) and all(
            Verdict.BETTER in against and Verdict.WORSE not in against for against in verdicts
        )

    @property
    def sentence(self) -> str:
        """The loss that is recommended, or why none is."""
        return f"{self.model}: {self._words()}"

    def _words(self) -> str:
        if len(self.losses) < 2:
            return f"no loss can be recommended: the run has {self.losses[0]} alone."
        if self.count < FEWEST:
            count = counted(self.count, "validation molecule") if self.count else "no validation molecules"
            needed = f"at least {FEWEST} are needed"
            return f"no loss can be recommended: {count} with results of all losses, and {needed}."
        where = f"on the {self.count} validation molecules"
        if all(Verdict.ONE_SEED in verdicts.values() for verdicts in self.verdicts.values()):
            return f"no loss can be recommended by one seed; best by the mean alone {where}: {self.by_mean}."
        if self.winner:
            gains = [
                f"than {other} on {listed(self._labels(self.winner, other))}"
                for other in self._others(self.winner)
            ]
            return f"{self.winner} is recommended: {where} it is better {listed(gains)}, and nowhere worse."
        leaders: dict[str, list[str]] = {}
        for metric in tagged("evidence"):
            for loss in self.losses:
                if all(
                    self.verdicts[loss, other].get(metric) is Verdict.BETTER for other in self._others(loss)
                ):
                    leaders.setdefault(loss, []).append(metric.label)
        if leaders:
            words = "; ".join(f"{loss} is best for {listed(labels)}" for loss, labels in leaders.items())
            return f"no loss can be recommended for everything: {where} {words}."
        return f"no loss can be recommended: {where} none is ahead of all others."

    def _labels(self, loss: str, other: str) -> list[str]:
        """Metrics on which the first loss is better."""
        return [
            metric.label
            for metric, verdict in self.verdicts[loss, other].items()
            if verdict is Verdict.BETTER
        ]


def trained(results: Results) -> dict[str, Any]:
    """Recommendations, files and code, for the template.

    Files are named from the folder in which the run was started.
    """
    config, scf = results.config, results.tables["scf"]
    evaluated = {
        f"{row.model}-{row.loss}-{row.seed}"
        for row in scf.drop_duplicates(["model", "loss", "seed"]).itertuples()
    }
    names = [name for name in config.trained() if name in evaluated]
    if not names:
        return {"words": [], "rule": RECOMMENDATION_RULE, "files": [], "code": ""}
    recommended = {model.key: Recommendation(results, model.key) for model in config.models}
    ahead = [name for name in names if recommended[(key := config.parse(name)).model].winner == key.loss]
    return {
        "words": [recommendation.sentence for recommendation in recommended.values()],
        "rule": RECOMMENDATION_RULE,
        "files": [{"name": name, "path": _model_path(config, name)} for name in names],
        "code": _code(config, (ahead or names)[0]),
    }


def _model_path(config: Config, name: str) -> str:
    return f"results/{config.run}/models/{name}.pt"


def _code(config: Config, name: str) -> str:
    """Python that runs a molecule with a trained functional, and the reference with its help."""
    path, reference = _model_path(config, name), config.reference
    entry = config.model(config.parse(name).model)
    # an own class must be named by who loads it: a file cannot choose what is imported
    load = f'dixc.load("{path}", ["{entry.name}"])' if ":" in entry.name else f'"{path}"'
    hybrid = f'dft.RKS(mol, xc="{reference.functional}")'
    if is_hartree_fock(reference.functional):
        hybrid = "scf.RHF(mol)"
    return f"""\
import dixc
import dixc.pyscf
from pyscf import dft, gto, scf

mol = gto.M(atom="molecule.xyz", basis="{reference.basis}")   # elements as in training
xc = {load}

mf = dixc.pyscf.RKS(mol, xc=xc)   # a PySCF object: TDDFT(), nuc_grad_method(), ...
mf.kernel()

mf = dixc.pyscf.accelerate({hybrid}, xc=xc)   # the reference itself, in fewer Fock builds
mf.kernel()"""
