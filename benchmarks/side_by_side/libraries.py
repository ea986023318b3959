"""Which libraries are compared, and what their environments need."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Library:
    """One row of the table.

    Args:
        name: How it is called there.
        requirement: What pip installs for it.
        driver: Name of the script in ``drivers``, without its ending.
        ours: Whether it is this library.
        lowest_python: Major and minor version.
    """

    name: str
    requirement: str
    driver: str
    ours: bool = False
    lowest_python: tuple[int, int] = (3, 11)

    @property
    def driver_path(self) -> Path:
        """The script that drives it."""
        return Path(__file__).parent / "drivers" / f"{self.driver}.py"


PEERS = (
    Library(
        name="python-rucaptcha 6.8.2",
        requirement="python-rucaptcha==6.8.2",
        driver="with_python_rucaptcha",
    ),
    Library(
        name="python3-anticaptcha 2.3.0",
        requirement="python3-anticaptcha==2.3.0",
        driver="with_python3_anticaptcha",
    ),
    Library(
        name="capmonstercloudclient 4.3.1",
        requirement="capmonstercloudclient==4.3.1",
        driver="with_capmonstercloudclient",
    ),
    Library(
        name="anycaptcha 1.5.4",
        requirement="anycaptcha==1.5.4",
        driver="with_anycaptcha",
    ),
    Library(
        name="ezcapsolver-py 0.1.0",
        requirement="ezcapsolver-py==0.1.0",
        driver="with_ezcapsolver",
        lowest_python=(3, 12),
    ),
    Library(
        name="2captcha-python 2.1.2",
        requirement="2captcha-python==2.1.2",
        driver="with_twocaptcha",
    ),
)


def ours() -> tuple[Library, ...]:
    """Return the rows of this checkout: plain, and with the extra ``fast`` where it has one."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    source = (REPOSITORY / "ezcaptcha_async" / "__init__.py").read_text("utf-8")
    version = re.findall(r'^__version__ = "(.+)"$', source, flags=re.MULTILINE)[0]
    extras = ("[fast]", "") if "fast" in project["optional-dependencies"] else ("",)
    return tuple(
        Library(
            name=f"ezcaptcha_async{extra} {version}",
            requirement=f"{REPOSITORY}{extra}",
            driver="with_ezcaptcha_async",
            ours=True,
        )
        for extra in extras
    )


SERVICE = (f"{REPOSITORY}[simulate]", "certifi", "httptools", "trustme", "uvloop")
"""What the simulated service needs, in an environment of its own."""
