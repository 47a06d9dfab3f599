"""Addresses of PostgreSQL, as people write them."""

import pytest

from contactship_common.db import check_url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@db:5432/x",
        "postgres://u:p@db/x?sslmode=require",
        "postgresql+psycopg://u:p@db/x?schema=crm",
        "postgresql://postgres@/x?host=/tmp/run",
        "postgresql://u:p%40ss%2Fword@db/x",
    ],
)
def test_what_platforms_hand_out_is_accepted(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "", "mysql://u:hunter2@db/x", "not an address", "postgresql", "db:5432", "postgresql://u:hunter2@db:port/x",
        "postgresql://u:hunter2@db/x?nonsense=1", "postgresql://u:hunter2%zz@db/x",
    ],
)  # fmt: skip
def test_a_wrong_one_is_refused_by_name_and_without_its_password(url: str) -> None:
    with pytest.raises(ValueError, match="DATABASE_URL") as refused:
        check_url(url)
    assert "hunter2" not in str(refused.value)
