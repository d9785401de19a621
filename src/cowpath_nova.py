"""`cowpath-nova-compute`: an unmodified nova-compute with Cowpath in it.

A module of its own: what is imported first decides how Nova runs threads, and may
patch them, so nothing of the package `cowpath` may come before that.
"""

import sys
from pathlib import Path

_HELP = """\
usage: cowpath-nova-compute [options of nova-compute]

Runs the nova-compute that is installed beside Cowpath, with the same options and the
same nova.conf. Images come to this site's store as Cowpath brings them; the rest is
Nova's. To go back, start nova-compute: the servers made meanwhile are Nova's own.

The options of nova-compute:
"""


def main() -> None:
    """Put our classes in place of Nova's and run nova-compute.

    Exits with status 1 where there is no Nova, or one that we do not know.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        sys.stdout.write(_HELP + "\n")
        sys.stdout.flush()
    # Nova's default files are found by this name, such as nova-compute.conf.
    sys.argv[0] = str(Path(sys.argv[0] or ".").parent / "nova-compute")
    try:
        from nova.cmd import compute  # noqa: PLC0415  # before anything of ours
    except ImportError as error:
        sys.exit(
            f"cowpath-nova-compute: {sys.executable} does not find Nova ({error}): "
            f"install cowpath into the environment that nova-compute runs in"
        )
    from cowpath.doors.nova.places import install  # noqa: PLC0415

    unknown = install()
    if unknown:
        sys.exit(
            f"cowpath-nova-compute: this Nova is not one that Cowpath knows: "
            f"{'; '.join(unknown)}. Start nova-compute instead, and use a release of "
            f"Cowpath that names this one of Nova"
        )
    compute.main()
