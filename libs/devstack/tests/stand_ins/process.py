"""Stands in for a Contactship process: serves its health, obeys SIGTERM. LATE_EXIT or DIE make it misbehave."""

import http.server
import os
import signal
import sys


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())

    def log_message(self, *arguments: object) -> None:
        return


if os.environ.get("DIE") == os.path.basename(sys.argv[0]):
    print("cannot go on", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving with", os.environ["DATABASE_URL"].split(":")[0], os.environ.get("EXTRA", ""), flush=True)
port = os.environ["PORT" if os.path.basename(sys.argv[0]) == "contactship-api" else "WORKER_HEALTH_PORT"]
http.server.HTTPServer(("127.0.0.1", int(port)), Health).serve_forever()
