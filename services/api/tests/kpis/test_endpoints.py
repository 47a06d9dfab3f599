"""What can be asked, what is refused, and that every endpoint answers."""

import pytest
from api_testkit import Api

PATHS = ["", "/overview", "/sellers/performance", "/meetings/trends", "/clients/engagement", "/clients/analysis"]
SOME_ID = "01932d5c-89a4-7b6e-9f1a-3a5b7c9d1e2f"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "query",
    [
        "", "from=2024-01-01&to=2024-12-31", "startDate=2024-01-01&endDate=2024-12-31",
        "from=2024-01-01&tz=America/Argentina/Buenos_Aires", "to=2024-06-01T10:07:00Z", f"sellerId={SOME_ID}",
        f"sellerId={SOME_ID}&from=2024-01-01T00:00:00.000001Z&to=2024-01-01", "from=&to=&sellerId=" + SOME_ID,
        "from=2024-01-01&startDate=2024-01-01", "from=9999-12-31&to=9999-12-31&tz=Etc/GMT%2B12",
        "from=0001-01-01&to=0001-01-01&tz=Etc/GMT-14", "from=9999-12-31T23:59:59.999999Z",
    ],
)  # fmt: skip
async def test_every_endpoint_answers_on_an_empty_database(shared_api: Api, path: str, query: str) -> None:
    answer = await shared_api.get(f"/api/v1/kpis{path}?{query}")
    assert answer.status_code == 200, answer.text
