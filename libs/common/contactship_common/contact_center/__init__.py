"""Rules of calls, WhatsApp and SMS that the gateway and the workers share."""
