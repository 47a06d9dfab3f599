"""Socket.IO: connected browsers hear of what happens, in whichever process it happened."""
