"""One version of an algorithm is one set of parameters, for ever.

Signals, changes and the ledger name the version; it would say nothing if the same version had meant
something else before.
"""

from collections.abc import Mapping

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from services.signals.errors import LineupError
from services.signals.lineup import Lineup
from services.signals.repository import versions
from shared import logs
from shared.db.engine import Database

log = logs.logger(__name__)


def register(session: Session, lineup: Lineup) -> None:
    """Remember the parameters of each version that the deployment runs.

    Raises LineupError where the same version has run with other parameters.
    """
    used = [(key, each.version, each.parameters) for key, each in sorted(lineup.algorithms.items())]
    versions.add(session, used)
    remembered = versions.parameters_of(session, [(key, version) for key, version, _ in used])
    for key, version, parameters in used:
        before = remembered[key, version]
        if before != parameters:
            raise LineupError(
                f"version {version} of {key} has run with {_told(before)} and can't run with"
                f" {_told(parameters)}: give the algorithm another version"
            )


def require(database: Database, lineup: Lineup) -> None:
    """Register the deployment's versions at a start. Raises LineupError.

    A database that doesn't answer, or isn't migrated, is not waited for: the runner registers them again
    with the first signals that it stores.
    """
    try:
        with database.transaction() as session:
            register(session, lineup)
    except SQLAlchemyError as error:
        log.warning("the versions of algorithms are not known yet", reason=type(error).__name__)


def _told(parameters: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in sorted(parameters.items())) or "no parameters"
