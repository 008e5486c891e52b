"""Names the cause of a Redis failure for the log, the metrics, `/ready` and the doctor. Pure."""

from dataclasses import dataclass

from redis import exceptions

from broker.errors import network

REPLICA, FULL, LOADING, ACCOUNT, CLUSTER = "replica", "full", "loading", "account", "cluster"
KINDS = (*network.KINDS, REPLICA, FULL, LOADING, ACCOUNT, CLUSTER)
_CLASSES: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    ((exceptions.ReadOnlyError, exceptions.MasterDownError), REPLICA),
    ((exceptions.OutOfMemoryError,), FULL),
    ((exceptions.BusyLoadingError,), LOADING),
    ((exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.NoPermissionError), ACCOUNT),
    (
        (exceptions.ClusterError, exceptions.RedisClusterException, exceptions.AskError, exceptions.TryAgainError),
        CLUSTER,
    ),
)
_WORDS = {
    REPLICA: "it is a read-only replica",
    FULL: "its memory limit is reached",
    LOADING: "it is loading its data",
    ACCOUNT: "it refuses the user name, the password or a command",
}


@dataclass(frozen=True)
class Failure:
    """`kind` is one of `KINDS`; `words` never repeat a URL."""

    kind: str
    words: str


def describe(error: Exception) -> Failure:
    """The cause of an exception of redis-py or of the network."""
    for classes, kind in _CLASSES:
        if isinstance(error, classes):
            return Failure(kind, _WORDS.get(kind, type(error).__name__))
    if isinstance(error, exceptions.ResponseError) and str(error).startswith(("OOM ", "MISCONF ")):
        return Failure(FULL, "its memory or its disk is full")
    kind = network.kind_of(error)
    if kind == network.OTHER and isinstance(error, exceptions.ConnectionError):
        return Failure(network.CUT, "the connection was closed")  # redis-py's exception for the end of the stream
    return Failure(kind, network.words_of(error))
