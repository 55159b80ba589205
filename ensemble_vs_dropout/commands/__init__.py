"""The command line: `main`, the command `evd`, and `study`, the commands `evd study`."""
