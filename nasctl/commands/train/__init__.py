"""The command `nasctl train` and its subcommands, one module each, imported when called."""
