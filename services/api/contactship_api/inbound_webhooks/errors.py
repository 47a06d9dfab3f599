"""What can be wrong with a webhook."""

from contactship_common.errors import Conflict, NotFound, Unauthenticated


class WebhookRejected(Unauthenticated):
    """Audited although it is refused."""

    code, title = "webhook_rejected", "The webhook's signature or token is missing or wrong"
    keeps_effects = True


class WebhookNotConfigured(NotFound):
    """An empty key would verify forgeries: without a secret there is no such route."""

    code, title = "webhook_not_configured", "This webhook is not configured here"


class InboxEntryNotFound(NotFound):
    code, title = "inbox_entry_not_found", "There is no inbox entry with this id"


class InboxEntryEmptied(Conflict):
    code, title = "inbox_entry_emptied", "The body of this entry has been deleted; it cannot be replayed"
