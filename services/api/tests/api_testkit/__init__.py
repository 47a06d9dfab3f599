"""The gateway as tests use it."""

from api_testkit.api import ROOT_KEY, Api, MakeApi, open_api
from api_testkit.leads import make_lead, new_lead, seed_leads
from api_testkit.locks import until_blocked
from api_testkit.problems import assert_problem
from api_testkit.tasks import end_task, ending_task, run_tasks, start_task
from contactship_devstack.polling import until
from contactship_devstack.testing import Sql

__all__ = [
    "ROOT_KEY",
    "Api",
    "MakeApi",
    "Sql",
    "assert_problem",
    "end_task",
    "ending_task",
    "make_lead",
    "new_lead",
    "open_api",
    "run_tasks",
    "seed_leads",
    "start_task",
    "until",
    "until_blocked",
]
