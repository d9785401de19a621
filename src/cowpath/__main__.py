"""`python -m cowpath` is the command line."""

from cowpath.doors.cli.main import main

raise SystemExit(main())
