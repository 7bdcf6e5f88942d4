"""A web server on loopback that misbehaves as asked."""

import http.server
import io
import threading
from contextlib import contextmanager

import h5py
import numpy as np


class Site:
    """What the server has, what it does wrong, and what it was asked.

    `files` by path; `sends` by path: how many bytes each answer brings before the connection drops (None:
    all), one entry per request; `status` by path: the code to refuse with; `redirects` by path.
    """

    def __init__(self, port):
        self.root = f"http://127.0.0.1:{port}"
        self.files, self.sends, self.status, self.redirects = {}, {}, {}, {}
        self.ranges, self.length, self.etag = True, True, None
        self.shift = 0  # how far behind the asked place a range begins
        self.asked = []

    def url(self, path):
        return f"{self.root}/{path}"

    @property
    def ranges_asked(self):
        return [headers.get("Range") for _, headers in self.asked]

    def answer(self, request):
        path = request.path.lstrip("/")
        self.asked.append((path, dict(request.headers)))
        if path in self.redirects:
            request.send_response(302)
            request.send_header("Location", self.redirects[path])
            request.end_headers()
            return
        if path in self.status or path not in self.files:
            request.send_error(self.status.get(path, 404))
            return
        body, start = self.files[path], 0
        wanted, unless = request.headers.get("Range"), request.headers.get("If-Range")
        if wanted and self.ranges and unless in (None, self.etag):
            start = int(wanted.removeprefix("bytes=").rstrip("-")) + self.shift
            request.send_response(206 if start < len(body) else 416)
            extent = f"{start}-{len(body) - 1}" if start < len(body) else "*"
            request.send_header("Content-Range", f"bytes {extent}/{len(body)}")
            if start >= len(body):
                request.end_headers()
                return
        else:
            request.send_response(200)
        if self.etag:
            request.send_header("ETag", self.etag)
        if self.length:
            request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        planned = self.sends.get(path)
        count = planned.pop(0) if planned else None
        request.wfile.write(body[start:] if count is None else body[start : start + count])


@contextmanager
def serving(tls=None):
    """Run a `Site` in a thread; `tls` is an SSLContext for https."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            site.answer(self)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site = Site(server.server_address[1])
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        server.handle_error = lambda *_: None  # a client that leaves is none of the server's business
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def unused_url():
    """A URL at whose port nothing listens."""
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    yield f"http://127.0.0.1:{port}/gone.hdf5"


def hdf5(size, seed=0):
    """The bytes of an HDF5 file with about `size` random bytes in it."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file["noise"] = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    return content.getvalue()
