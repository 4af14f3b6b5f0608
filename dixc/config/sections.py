"""Sections of config.yaml, every field with its meaning, unit and default.

The sections `training` and `evaluation` are in files of their own.

The JSON schema and the table of keys in config/README.md are generated from these models: run
`python -m dixc.config` after a change.
"""

from __future__ import annotations

from typing import Any

from pydantic import (
    Field,
    GetJsonSchemaHandler,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from dixc.config.base import (
    MOST,
    SPLITS,
    Charge,
    Count,
    FunctionalName,
    GridLevel,
    Rate,
    Section,
    Seed,
    Threshold,
    require_unique,
)
from dixc.elements import NUMBERS, symbol_of
from dixc.errors import InputError


class SizeSelection(Section):
    """Molecules drawn at random, by size."""

    count: int = Field(ge=1, description="number of molecules")
    min_heavy: int = Field(
        default=1, ge=0, le=MOST, description="fewest heavy (non-hydrogen) atoms in a molecule"
    )
    max_heavy: int = Field(ge=0, le=MOST, description="most heavy (non-hydrogen) atoms in a molecule")

    @model_validator(mode="after")
    def _ordered(self) -> SizeSelection:
        if self.min_heavy > self.max_heavy:
            raise ValueError(f"min_heavy is {self.min_heavy}, more than max_heavy, which is {self.max_heavy}")
        return self


class NamedOrSizeSelection(Section):
    """Molecules given by name, or drawn at random by size."""

    names: list[str] | None = Field(
        default=None, min_length=1, description="names of the molecules; instead of `count`"
    )
    count: int | None = Field(default=None, ge=1, description="number of molecules; instead of `names`")
    min_heavy: int | None = Field(
        default=None, ge=0, le=MOST, description="fewest heavy atoms in a molecule, with `count`"
    )
    max_heavy: int | None = Field(
        default=None, ge=0, le=MOST, description="most heavy atoms in a molecule, with `count`"
    )

    @model_validator(mode="after")
    def _one_way(self) -> NamedOrSizeSelection:
        if (self.names is None) == (self.count is None):
            raise ValueError(
                "give either names or count (with min_heavy and max_heavy), exactly one of the two"
            )
        smallest, largest = self.min_heavy, self.max_heavy
        if self.names is not None:
            if smallest is not None or largest is not None:
                raise ValueError("min_heavy and max_heavy go with count, not with names")
            require_unique(self.names, "names")
        elif smallest is None or largest is None:
            raise ValueError(
                "count needs min_heavy and max_heavy, the fewest and most heavy atoms in a molecule"
            )
        elif smallest > largest:
            raise ValueError(f"min_heavy is {smallest}, more than max_heavy, which is {largest}")
        return self

    @property
    def by_size(self) -> SizeSelection | None:
        """The same without the choice between names and size; None if there are names."""
        if self.count is None or self.min_heavy is None or self.max_heavy is None:
            return None
        return SizeSelection(count=self.count, min_heavy=self.min_heavy, max_heavy=self.max_heavy)

    @property
    def size(self) -> int:
        """Number of molecules."""
        return len(self.names or ()) if self.count is None else self.count


class MoleculeFile(Section):
    """A source of molecules: a path alone, or a mapping with options."""

    path: str = Field(
        min_length=1,
        description="xyz file, folder, CSV table or archive to choose from, or the word qm9pack (see Molecules above); "
        "paths from the working folder. Without options, the path may stand alone in the list",
    )
    charge: Charge | None = Field(
        default=None, description="total charge of all its molecules, e; overrules what the file says"
    )
    exclude: str | None = Field(
        default=None,
        min_length=1,
        description="list of molecules to leave out, a name or QM9 index a line; uncharacterized.txt in the folder or "
        "beside the archive is found by itself",
    )

    @model_validator(mode="before")
    @classmethod
    def _path_alone(cls, value: Any) -> Any:
        return {"path": value} if isinstance(value, str) else value

    @model_serializer(mode="wrap")
    def _as_given(self, handler: SerializerFunctionWrapHandler) -> Any:
        options = {key: value for key, value in handler(self).items() if value is not None}
        return options["path"] if options.keys() == {"path"} else options

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        mapping = handler.resolve_ref_schema(handler(schema))
        path = {"type": "string", "minLength": 1, "description": mapping["properties"]["path"]["description"]}
        return {"anyOf": [path, mapping]}


class Molecules(Section):
    """Which molecules, and how they are divided."""

    files: list[MoleculeFile] = Field(min_length=1, description="where molecules are chosen from")
    elements: list[str] | None = Field(
        default=None, min_length=1, description="only molecules of these elements, such as [H, C, N, O]"
    )
    charges: list[Charge] | None = Field(
        default=None, min_length=1, description="only molecules of these total charges, e, such as [0]"
    )
    seed: Seed = Field(default=0, description="seed of the random choice of molecules")
    train: SizeSelection = Field(description="training molecules")
    validation: SizeSelection = Field(
        description="validation molecules (they pick the best weights), none of them in train"
    )
    test: NamedOrSizeSelection = Field(description="test molecules, none of them in train or validation")
    chunk_size: int = Field(
        default=32, ge=1, le=10**6, description="molecules in a file, and so in a job of the workflow"
    )

    @model_validator(mode="after")
    def _sensible(self) -> Molecules:
        for symbol in self.elements or []:
            if symbol not in NUMBERS:
                element = symbol_of(symbol)
                hint = f" (did you mean {element}?)" if element else ""
                raise ValueError(f"elements: no element {symbol!r}{hint}")
        return self

    def sizes(self) -> dict[str, int]:
        """Number of molecules by split."""
        return {"train": self.train.count, "validation": self.validation.count, "test": self.test.size}

    def chunks(self, split: str) -> list[str]:
        """Names of the files of a split, such as "train-000".

        Raises:
            InputError: no such split.
        """
        sizes = self.sizes()
        if split not in sizes:
            raise InputError(f"no split {split!r}; there are {', '.join(SPLITS)}")
        n_chunks = -(-sizes[split] // self.chunk_size)
        return [f"{split}-{i:03d}" for i in range(n_chunks)]


class Reference(Section):
    """SCF of the functional to be distilled."""

    functional: str = Field(
        default="b3lyp",
        min_length=1,
        description="functional to distil, as PySCF names it (see Reference above)",
    )
    basis: str = Field(default="def2-svp", min_length=1, description="orbital basis, as PySCF names it")
    grid_level: GridLevel = Field(
        default=1, description="PySCF grid level of every SCF of the run, 0 (coarse) to 9"
    )
    conv_tol: Threshold = Field(default=1e-10, description="change of the energy at convergence, hartree")
    conv_tol_grad: Threshold = Field(
        default=1e-6, description="norm of the orbital gradient at convergence, hartree"
    )
    max_cycle: Count = Field(default=100, description="most SCF iterations")
    max_failed_fraction: float = Field(
        default=0.2, ge=0, le=1, description="share of a file's molecules that may fail"
    )


class Derivatives(Section):
    """Second derivatives of the reference energy."""

    max_dense_pairs: int = Field(
        default=2000,
        ge=0,
        le=100_000,  # 40 GB a molecule
        description="most occupied-virtual pairs for whole A+B and A-B; products with probes above",
    )
    n_probes: int = Field(
        default=16, ge=1, le=100_000, description="stored products of a molecule above max_dense_pairs"
    )
    n_states: Count = Field(
        default=4,
        description="lowest singlets kept with their amplitudes (below max_dense_pairs, all energies)",
    )
    states_max_heavy: int | None = Field(
        default=None,
        ge=0,
        le=MOST,
        description="most heavy atoms of a test molecule whose excitations are computed and compared; none: no limit",
    )
    seed: Seed = Field(default=0, description="seed of the stored probes")

    @model_serializer(mode="wrap")
    def _without_unused(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # rules state this section in their params: a limit that nobody sets must not change them
        return {key: value for key, value in handler(self).items() if value is not None}


class Model(Section):
    """A learned functional."""

    name: FunctionalName = Field(
        description="name in the registry of functionals (`dixc models`), or import path `package.module:Class`"
    )
    hyperparameters: dict[str, JsonValue] = Field(
        default_factory=dict, description="keywords of `dixc.create`"
    )
    label: FunctionalName | None = Field(
        default=None,
        description="its name in files and tables, where the list has a `name` twice; by default `name`",
    )
    prefit_steps: Count | None = Field(
        default=None, description="`prefit.steps` of this model, if it needs more or fewer"
    )
    learning_rate: Rate | None = Field(
        default=None, description="`training.learning_rate` of this model, if it needs another"
    )

    @property
    def key(self) -> str:
        """What files and tables call it."""
        return self.label or self.name


class Prefit(Section):
    """Start of every training: a pointwise fit to a classical functional on reference densities."""

    target: FunctionalName = Field(default="r2scan", description="classical functional to imitate")
    steps: Count = Field(default=400, description="L-BFGS iterations")
    points: int = Field(
        default=6000, ge=1, le=10**7, description="grid points of the fit, drawn by their electrons"
    )


class Report(Section):
    """The report."""

    title: str = Field(
        default="Derivative-informed training", min_length=1, description="heading of the report"
    )
