"""`python -m dixc`."""

from dixc.cli import main

if __name__ == "__main__":
    main()
