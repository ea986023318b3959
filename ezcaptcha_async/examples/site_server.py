"""A site of your own to try the crawlers on: ten pages with a form.

python site_server.py

It is at http://127.0.0.1:8765/page/0 then.
"""

import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

FORM = b'<form method="post"><div class="g-recaptcha" data-sitekey="site-key"></div></form>'


class Page(BaseHTTPRequestHandler):
    """Shows the form, and takes it when there is a token in it."""

    def do_GET(self) -> None:
        """Show the form."""
        if re.fullmatch("/page/[0-9]", self.path):
            self.answer(200, FORM)
        else:
            self.answer(404, b"There is no such page.")

    def do_POST(self) -> None:
        """Take the form; a real site has its token verified now."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])))
        if form.get(b"g-recaptcha-response"):
            self.answer(200, b"Welcome.")
        else:
            self.answer(403, b"Are you a human?")

    def answer(self, status: int, text: bytes) -> None:
        """Send a page."""
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", 8765), Page).serve_forever()
