"""The command line: `main`, the command `evd`; `study`, `evd study`; `doctor`; `screen`, what is printed."""
