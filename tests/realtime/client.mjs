// Real socket.io-client sockets, driven by JSON lines on stdin; everything that happens is a JSON line on stdout.
//   {"do": "connect", "id": "a", "url": "http://…", "options": {"auth": {…}, "transports": ["websocket"]}}
//   {"do": "emit", "id": "a", "number": 1, "args": ["conversation:join", "…"]}      answered by {"answer": 1, "data": …}
//   {"do": "close", "id": "a"}
// `at` is in milliseconds since 1970.
import { createInterface } from "node:readline";
import { io } from "socket.io-client";

const sockets = new Map();

function tell(line) {
  process.stdout.write(JSON.stringify({ at: performance.timeOrigin + performance.now(), ...line }) + "\n");
}

function connect(id, url, options) {
  const socket = io(url, { forceNew: true, reconnectionDelay: 100, reconnectionDelayMax: 300, ...options });
  sockets.set(id, socket);
  socket.on("connect", () => tell({ id, is: "connect", transport: socket.io.engine.transport.name }));
  socket.on("connect_error", (error) => tell({ id, is: "connect_error", message: error.message, data: error.data ?? null }));
  socket.on("disconnect", (reason) => tell({ id, is: "disconnect", reason }));
  socket.onAny((name, data) => tell({ id, is: "event", event: name, data }));
}

const actions = {
  connect: ({ id, url, options }) => connect(id, url, options),
  close: ({ id }) => sockets.get(id).disconnect(),
  emit: ({ id, number, args }) =>
    sockets.get(id).timeout(15_000).emit(...args, (error, data) => tell({ id, is: "answer", number, data: data ?? null })),
};

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const asked = JSON.parse(line);
  actions[asked.do](asked);
});
lines.on("close", () => process.exit(0));
