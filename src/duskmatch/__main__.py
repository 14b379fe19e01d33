"""`python -m duskmatch` is `duskmatch`."""

from duskmatch.cli import main

raise SystemExit(main())
