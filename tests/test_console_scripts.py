"""The installed commands, each an interpreter of its own as an operator starts it: they start, serve and end."""

import pytest
from system_testkit import SceneFactory

from contactship_devstack.processes import KINDS

pytestmark = pytest.mark.system


@pytest.fixture
def start_by() -> None:
    """By the scripts; other tests fork most of their processes."""


def test_every_command_starts_serves_and_ends(make_scene: SceneFactory) -> None:
    scene = make_scene(*KINDS, env={"AI_PROVIDERS": "local"})
    lead_id, _ = scene.make_lead()
    assert scene.ended(scene.summarize(lead_id))["status"] == "completed"
    for name in scene.stack.names:
        assert scene.stack.sigterm(name) == 0, name
