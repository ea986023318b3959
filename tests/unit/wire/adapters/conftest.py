"""What tests on real sockets share: what an adapter does only shows on one."""

from tests.sockets.conftest import (  # noqa: F401 - pytest finds them here
    _few_authorities,
    anyio_backend,
    injected,
    kind,
    one_authority,
    own,
    package,
    parser,
    pytest_collection_modifyitems,
)
