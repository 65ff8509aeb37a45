"""A receiver for Yagura's reports: prints what comes, and what changes of it. Needs nothing but Python 3.

    python3 receiver.py [PORT]

It checks the signature with the secret in WEBHOOK_SECRET, and takes a report that comes twice only once: what a service of
your own would do.
"""

import hashlib
import hmac
import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = os.environ.get("WEBHOOK_SECRET", "an example, not a secret").encode()
incidents = {}
taken = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        expected = "sha256=" + hmac.new(SECRET, body, hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected, self.headers.get("x-yagura-signature", "")):
            return self.answer(401, {"error": "the signature is not that of the body"})
        key = self.headers.get("idempotency-key")
        report = json.loads(body)
        if key not in taken:
            taken.add(key)
            show(report)
        self.answer(200, {"id": report["id"]})

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


def show(report):
    before = incidents.get(report["id"], [])
    lines = report["text"].splitlines()
    what = "updated" if before else "new"
    print(f"── {what}: {report['severity'].upper()} {report['title']}")
    print(f"   {report['id']} revision {report['revision']}, {report['status']}")
    for line in lines:
        if line not in before:
            print("   " + line)
    incidents[report["id"]] = lines
    sys.stdout.flush()


if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8765
    print(f"waiting for reports on http://127.0.0.1:{port}/", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Receiver).serve_forever()
