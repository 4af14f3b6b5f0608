"""Which extra of dixc brings a package that not every user needs: `pip install "dixc[workflow]"`.

SCF, excitations and `dixc.pyscf.accelerate` need none of them; imports of these packages stay out of the modules that
`import dixc.pyscf` and `dixc scf` load (tests/integration/test_install.py).
"""

from __future__ import annotations

# names as they are imported; the extras are in pyproject.toml
PACKAGES = {
    "egxc": ("e3nn",),
    "workflow": ("jinja2", "matplotlib", "pandas", "snakemake", "yaml"),
}
EXTRAS = {package: extra for extra, packages in PACKAGES.items() for package in packages}


def advice(error: ImportError) -> str | None:
    """What to install, in one line, where a package of an extra is missing; None if another one is."""
    package = (error.name or "").partition(".")[0]
    if not isinstance(error, ModuleNotFoundError) or package not in EXTRAS:
        return None
    return f"needs the package {package}: pip install 'dixc[{EXTRAS[package]}]'"
