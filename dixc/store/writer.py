"""Writer of chunks that survives being killed."""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dixc import provenance
from dixc.errors import UserError
from dixc.store.files import FORMAT_VERSION, AnyPath, open_chunk, require_place, write_chunk, writing
from dixc.version import __version__

if TYPE_CHECKING:
    import h5py

SHOWN_FAILURES = 20


class ChunkWriter:
    """Writes a chunk molecule by molecule; a job that was killed resumes after its last finished molecule."""

    def __init__(
        self,
        path: AnyPath,
        stage: str,
        settings: Mapping[str, Any],
        key: str,
        attributes: Mapping[str, Any] | None = None,
        origin: Mapping[str, Any] | None = None,
    ):
        """Opens the folder of finished molecules; folders of other keys are stale and removed.

        Args:
            path: the chunk to write.
            stage: name of the stage.
            settings: the part of the config that determines the content (JSON values).
            key: hash of all inputs and settings; finished molecules are taken over only if it is the same.
            attributes: more attributes of the whole file.
            origin: hashes of what it is made from (`provenance.origin`), kept beside the versions.

        Raises:
            InputError: nothing can be written there.
        """
        self.path = Path(path)
        self.stage = stage
        self.settings = dict(settings)
        self.attributes = dict(attributes or {})
        self.origin = dict(origin or {})
        # another version of the program may compute something else from the same inputs
        defining = [key, stage, self.settings, self.attributes, FORMAT_VERSION, __version__]
        self.parts_folder = self.path.with_name(f".{self.path.name}.{provenance.hash_of(defining)}.parts")
        with writing(self.path):
            require_place(self.path)
            for stale in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.parts"):
                if stale != self.parts_folder:
                    shutil.rmtree(stale)
            self.parts_folder.mkdir(parents=True, exist_ok=True)
        self._seen: dict[str, None] = {}  # in the caller's order, which becomes the order in the file
        self._done = self._finished_parts()

    def has(self, name: str) -> bool:
        """Whether a molecule is finished, be it as a failure."""
        self._seen[name] = None
        return name in self._done

    def write(
        self,
        name: str,
        arrays: Mapping[str, Any],
        attributes: Mapping[str, Any],
        units: Mapping[str, str] | None = None,
    ) -> None:
        """Keeps a molecule's results.

        Args:
            name: the molecule.
            arrays: datasets by name.
            attributes: scalars and text, `split` among them.
            units: unit of each dataset; "1" (no unit) for those not named.

        Raises:
            InputError: it cannot be written.
        """
        self._write_part(name, arrays, {**attributes, "status": "ok", "reason": ""}, units or {})

    def fail(self, name: str, reason: str, attributes: Mapping[str, Any]) -> None:
        """Keeps the fact that a molecule failed, with the reason in one line."""
        reason = " ".join(str(reason).split())
        self._write_part(name, {}, {**attributes, "status": "failed", "reason": reason}, {})

    def finish(self, max_failed_fraction: float) -> None:
        """Puts the molecules together in the file and removes the parts.

        Args:
            max_failed_fraction: largest share of failed molecules, 0 to 1.

        Raises:
            InputError: too many failed (these are computed again in the next run, the finished ones are kept),
                or the file cannot be written.
        """
        missing = [name for name in self._seen if name not in self._done]
        if missing:
            raise RuntimeError(f"{self.path}: no result of {', '.join(missing)}")
        order = [*self._seen, *sorted(self._done.keys() - self._seen.keys())]
        statuses = {name: self._status(name) for name in order}
        failed = {name: reason for name, (status, reason, _) in statuses.items() if status == "failed"}
        if len(failed) > max_failed_fraction * len(order) + 1e-9:
            with writing(self.path):
                for name in failed:
                    self._done.pop(name).unlink()
            raise UserError(f"{self.path}: {_too_many(failed, len(order), max_failed_fraction)}")
        splits = {split for _, _, split in statuses.values()}
        root = {
            **self.attributes,
            "split": splits.pop() if len(splits) == 1 else "",
            "settings": json.dumps(self.settings, sort_keys=True),
            "provenance": json.dumps(provenance.collect() | self.origin, sort_keys=True),
        }
        write_chunk(self.path, self.stage, root, lambda file: self._copy_parts(order, file))
        shutil.rmtree(self.parts_folder, ignore_errors=True)

    def _write_part(
        self, name: str, arrays: Mapping[str, Any], attributes: Mapping[str, Any], units: Mapping[str, str]
    ) -> None:
        if not name or "/" in name or name == ".":
            raise ValueError(f"{name!r} cannot be the name of a molecule")

        def fill(file: h5py.File) -> None:
            group = file.create_group(name)
            group.attrs.update({**attributes, "name": name})
            for key, values in arrays.items():
                dataset = group.create_dataset(key, data=np.asarray(values))
                dataset.attrs["unit"] = units.get(key, "1")

        part = self.parts_folder / f"{provenance.hash_of(name)}.h5"
        write_chunk(part, self.stage, {}, fill)
        self._seen[name] = None
        self._done[name] = part

    def _finished_parts(self) -> dict[str, Path]:
        done = {}
        for part in sorted(self.parts_folder.glob("*.h5")):
            try:
                with open_chunk(part, self.stage) as file:
                    done[next(iter(file))] = part
            except UserError:  # damaged by whatever ended the last run: compute that molecule again
                part.unlink(missing_ok=True)
        return done

    def _status(self, name: str) -> tuple[str, str, str]:
        with open_chunk(self._done[name]) as file:
            attributes = file[name].attrs
            return str(attributes["status"]), str(attributes["reason"]), str(attributes.get("split", ""))

    def _copy_parts(self, order: list[str], file: h5py.File) -> None:
        for name in order:
            with open_chunk(self._done[name]) as part:
                part.copy(part[name], file, name)


def _too_many(failed: Mapping[str, str], total: int, allowed: float) -> str:
    shown = [f"{name} ({reason})" for name, reason in list(failed.items())[:SHOWN_FAILURES]]
    if len(failed) > len(shown):
        shown.append(f"and {len(failed) - len(shown)} more")
    return (
        f"{len(failed)} of {total} molecules failed, more than the allowed {allowed:.0%}: {'; '.join(shown)}"
    )
