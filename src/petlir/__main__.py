"""Run the command line: `python -m petlir` is equivalent to `petlir`."""

from petlir.benchmark.cli import main

if __name__ == "__main__":  # worker processes import this file again
    main()
