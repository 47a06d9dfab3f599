"""People from randomuser.me, or whatever speaks its protocol at RANDOMUSER_URL."""

from typing import Any

from contactship_common.tasks.outcomes import Permanent
from contactship_sync_worker.sources.base import ExternalLead, Options, Page, Setup, Source, check_error, pick
from contactship_sync_worker.sources.http import SourceHttp


class RandomUserOptions(Options):
    """`url`: instead of RANDOMUSER_URL."""

    url: str = ""


def build(setup: Setup) -> Source:
    options = RandomUserOptions.model_validate(setup.options)
    return RandomUser(options.url or setup.settings.randomuser_url, setup.http)


class RandomUser:
    """One page: asking again gives other people, so there is no cursor."""

    def __init__(self, url: str, http: SourceHttp) -> None:
        self._url = url
        self._http = http

    async def fetch(self, cursor: str | None, limit: int) -> Page[ExternalLead]:
        """
        Raises:
            Permanent, RetryLater: see `SourceHttp`; also for an error that comes with status 200.
        """
        answer = await self._http.get_json(self._url, params={"results": limit})
        check_error(pick(answer, "error"))
        results = pick(answer, "results")
        if not isinstance(results, list):
            raise Permanent("source_wrong_shape", "the source's answer has no list `results`")
        return Page([_person(record) for record in results])


def _person(record: Any) -> ExternalLead:
    nationality = pick(record, "nat")
    return ExternalLead(
        first_name=pick(record, "name.first"),
        last_name=pick(record, "name.last"),
        email=pick(record, "email"),
        phone=pick(record, "phone"),
        street=_street(pick(record, "location.street")),
        city=pick(record, "location.city"),
        state=pick(record, "location.state"),
        postcode=pick(record, "location.postcode"),
        country=pick(record, "location.country"),
        date_of_birth=pick(record, "dob.date"),
        nationality=nationality,
        gender=pick(record, "gender"),
        picture_url=pick(record, "picture.medium"),
        external_id=pick(record, "login.uuid"),
        metadata={
            "location": _joined(", ", pick(record, "location.city"), pick(record, "location.country")),
            "profession": nationality,
        },
    )


def _street(street: Any) -> Any:
    """`"{number} {name}"`; older versions of the service told one text."""
    return _joined(" ", street.get("number"), street.get("name")) if isinstance(street, dict) else street


def _joined(separator: str, *parts: Any) -> str | None:
    return separator.join(str(part) for part in parts if isinstance(part, str | int) and part != "") or None
