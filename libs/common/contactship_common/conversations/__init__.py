"""Rules of conversations that the gateway and the workers share."""
