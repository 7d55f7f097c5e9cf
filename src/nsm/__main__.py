"""``python -m nsm`` is the command line."""

from nsm.cli.main import main

if __name__ == "__main__":
    main()
