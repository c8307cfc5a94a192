"""`python -m graphflow`: the same as the command `graphflow`."""

from graphflow.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
