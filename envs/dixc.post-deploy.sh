#!/usr/bin/env bash
# Run by Snakemake inside the new environment, in the working folder: that must be a checkout of dixc.
set -euo pipefail
[ -f constraints.txt ] && [ -d dixc ] || {
    echo "dixc: error: --sdm conda works in a checkout of dixc only; elsewhere install dixc beside Snakemake" >&2
    exit 2
}
python -m pip install --quiet -c constraints.txt ".[all]"
