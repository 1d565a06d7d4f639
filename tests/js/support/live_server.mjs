// The server's end of the live channel: a WebSocket class to give to the page, and what arrived from it.

// Node's own, which its EventTarget wants; a page under test puts jsdom's in its place.
const { Event, EventTarget } = globalThis;

export function liveServer() {
  const sockets = [];

  class FakeSocket extends EventTarget {
    constructor(url) {
      super();
      this.url = new URL(url);
      this.closed = false;
      this.readyState = 0;
      sockets.push(this);
    }

    /** The page hangs up. */
    close() {
      this.closed = true;
      this.readyState = 3;
    }
  }

  return {
    Socket: FakeSocket,
    get connections() {
      return sockets.length;
    },
    /** The newest connection, or the one with this index. */
    socket: (index = sockets.length - 1) => sockets[index],
    accept(socket = sockets.at(-1)) {
      socket.readyState = 1;
      socket.dispatchEvent(new Event("open"));
    },
    send(message, socket = sockets.at(-1)) {
      const data = typeof message === "string" ? message : JSON.stringify(message);
      socket.dispatchEvent(Object.assign(new Event("message"), { data }));
    },
    hangUp(code = 1006, socket = sockets.at(-1)) {
      socket.dispatchEvent(Object.assign(new Event("close"), { code }));
    },
  };
}
