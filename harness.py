"""Modiste without a host: photos in, prompts, scores, pictures and reports out. Also the command `modiste`."""

from modiste.cli.app import main

if __name__ == "__main__":
    main()
