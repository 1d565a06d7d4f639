"""The subcommands of `python -m services.signals`, one module each."""
