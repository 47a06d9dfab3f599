"""What the API process holds: settings, connections, and the services that requests share."""

from contactship_api.access.authenticate import Authenticator
from contactship_api.http.login_limits import LoginLimits
from contactship_api.leads.at_once import linking
from contactship_api.realtime.server import RealtimeServer
from contactship_api.tasks.waiting import TaskWaiter
from contactship_common.redis_together import Together
from contactship_common.runtime import Runtime
from contactship_common.settings import ApiSettings, ContactCenterSettings, CoreSettings, SyncSettings


class Gateway:
    """Made once by `create_app`, opened and closed by its lifespan, reached through `request.app.state.gateway`."""

    def __init__(self, core: CoreSettings, settings: ApiSettings) -> None:
        self.core = core
        self.settings = settings
        self.sync = SyncSettings()
        self.contact_center = ContactCenterSettings()
        self.runtime = Runtime(core)
        self.link_leads = linking(self.runtime)
        self.counting = Together(self.runtime.redis, "rate_limit")
        self.authenticator = Authenticator(settings, self.runtime.db)
        self.login_limits = LoginLimits(settings, self.runtime.redis)
        self.waiter = TaskWaiter(core.redis_url)
        self.realtime = RealtimeServer(settings, self.runtime, self.authenticator)
        self.runtime.realtime = self.realtime.relay

    async def open(self) -> None:
        await self.runtime.open()
        await self.waiter.open()
        await self.realtime.open()

    async def close(self) -> None:
        await self.realtime.close()
        await self.waiter.close()
        await self.runtime.close()
