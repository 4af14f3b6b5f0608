"""The arrays of the core and of training."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]  # float64, unless a docstring says otherwise
