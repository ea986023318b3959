"""``example``: programs to copy, as they lie in the package.

``fastapi`` is ``fastapi_app.py``: a file that is named as a framework would hide it from itself.
"""

from __future__ import annotations

import json
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from ezcaptcha_async.cli.output import PROGRAM, Output

_FOLDER: Final = files("ezcaptcha_async") / "examples"
_EXAMPLES: Final[dict[str, Traversable]] = {
    path.name.partition("_")[0]: path
    for path in sorted(_FOLDER.iterdir(), key=lambda path: path.name)
    if path.name.endswith((".py", ".ipynb")) and not path.name.startswith("_")
}
if TYPE_CHECKING:
    Name: TypeAlias = str
else:
    Name = Literal[tuple(_EXAMPLES)]


def example(name: Annotated[Name | None, Parameter(name="NAME")] = None, /) -> None:
    """Print a program to copy; without a name, list them.

    For example: ezcaptcha example fastapi > fastapi_app.py

    Each runs as it is, also against the simulated service; its first lines say how.

    Args:
        name: Which one.
    """
    output = Output(as_json=False)
    if name is not None:
        output.result(_EXAMPLES[name].read_text(encoding="utf-8").removesuffix("\n"))
        return
    for short, path in _EXAMPLES.items():
        output.result(f"{short:10}{_title(path)}")
    output.remark(f"One of them as a file: {PROGRAM} example fastapi > {_EXAMPLES['fastapi'].name}")


def _title(path: Traversable) -> str:
    """Return the first line of what an example says of itself."""
    text = path.read_text(encoding="utf-8")
    if path.name.endswith(".ipynb"):
        text = "".join(json.loads(text)["cells"][0]["source"])
    return text.lstrip('"').partition("\n")[0]
