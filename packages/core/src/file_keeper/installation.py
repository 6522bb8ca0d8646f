"""Whether this package is as it was installed.

Another distribution, by other authors, installs the same import name. Where both lie in one environment their files are
mixed, and what comes of it is told by nobody. So it is looked for where this package lies: one listing of that folder,
and nothing else as long as there is no such distribution.
"""

from __future__ import annotations

import os

OTHER = "file_keeper-"
"""What the metadata folder of the distribution `file-keeper` begins with; those of ours have one more word."""


def check(package: str = "") -> None:
    """Look for files of the other distribution in the folder of this package.

    :param package: the folder of `file_keeper`, default where this module lies
    :raises ImportError: when there are, with the commands that mend it
    """
    package = package or os.path.dirname(os.path.abspath(__file__))
    site = os.path.dirname(package)
    try:
        entries = os.listdir(site)
    except OSError:
        return  # in an archive: nothing was installed into it
    for entry in entries:
        if entry.startswith(OTHER) and entry.endswith(".dist-info") and _owns(os.path.join(site, entry), package):
            raise ImportError(
                f"two distributions put files into the package file_keeper in {site}: file-keeper-core and "
                f"file-keeper ({entry.removesuffix('.dist-info').removeprefix(OTHER)}), which is another project; "
                "what works now is chance. Use an environment for each, or keep this one: "
                "pip uninstall -y file-keeper file-keeper-core; pip install file-keeper-core",
                name="file_keeper",
            )


def _owns(metadata: str, package: str) -> bool:
    """Return whether the files that a distribution has installed are in the package; a list that is lost counts."""
    try:
        with open(os.path.join(metadata, "RECORD"), encoding="utf-8") as record:
            return any(line.startswith(f"{os.path.basename(package)}/") for line in record)
    except OSError:
        return True


check()
