"""Every kind of task has an answer to "who may read it"."""

from contactship_api.tasks.kinds import ABOUT
from contactship_common.tasks.catalog import KINDS


def test_every_kind_says_who_may_read_it_and_where_its_subject_is() -> None:
    assert set(ABOUT) == set(KINDS.values())
    paths = [about.path for about in ABOUT.values() if about.path is not None]
    assert all(path.startswith("/api/v1/") and path.count("{}") == 1 for path in paths)
