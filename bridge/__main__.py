"""`python -m bridge` is `popbridge`."""

from bridge.cli.main import run

if __name__ == "__main__":
    run()
