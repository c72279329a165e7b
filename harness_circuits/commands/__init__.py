"""The `harness-circuits` command, one file per subcommand; `main.COMMANDS` names them."""
