"""The `harness-circuits` command, one file per subcommand."""
