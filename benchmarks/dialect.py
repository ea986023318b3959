"""Does the simulated service speak as the live one does? Its maker's own client says so.

    python3.12 benchmarks/dialect.py

ezcapsolver-py, in an environment of its own beside this checkout, calls the simulated service
on a loopback port. Each line says how a call ended, and whether that is what the client's
documentation says; the exit status is 1 where it is not. It takes half a minute, most of it for
the environment. The cases are in ``side_by_side/makers_client.py``; where ezcapsolver-py is
installed, as with the test group on Python 3.12 and later, they are tests as well.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from side_by_side.environments import environments, python_with
from side_by_side.libraries import PEERS, REPOSITORY

CASES = REPOSITORY / "benchmarks" / "side_by_side" / "makers_client.py"


def main() -> int:
    """Make the environment, and play the cases there."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--keep", action="store_true", help="keep the environment for next time")
    options = parser.parse_args()
    client = next(peer.requirement for peer in PEERS if peer.driver == "with_ezcapsolver")
    with environments(keep=options.keep) as folder:
        python = python_with(folder, [f"{REPOSITORY}[simulate]", client])
        return subprocess.run([python, CASES], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
