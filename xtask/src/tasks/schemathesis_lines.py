"""How schemathesis sends a body of JSON lines, which it does not know by itself."""

import json

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_context, value):
    jobs = value if isinstance(value, list) else [value]
    return b"".join(json.dumps(job).encode() + b"\n" for job in jobs)
