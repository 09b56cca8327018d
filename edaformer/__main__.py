"""``python -m edaformer``: the console script, where its folder is in no PATH."""

from edaformer.cli.main import main

if __name__ == "__main__":
    main()
