"""A mail server by somebody else: aiosmtpd, which takes what the double takes and says what it saw.

It prints its port, and then one JSON object a line for every mail. Its judgement of header and content is that of
Python's own `email` package.
"""

import asyncio
import email
import email.policy
import json
import sys

from aiosmtpd.smtp import SMTP


class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.lower().startswith("gone@"):
            return "550 5.1.1 no such user here"
        if address.lower().startswith("later@"):
            return "451 4.7.1 greylisted, try again in 1 second"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server, session, envelope):
        mail = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
        parts = [part for part in mail.walk() if not part.is_multipart()]
        seen = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "bytes": len(envelope.original_content),
            "headers": [[name, str(value)] for name, value in mail.items()],
            "parts": [part.get_content() for part in parts],
        }
        print(json.dumps(seen), flush=True)
        return "250 2.0.0 queued as aiosmtpd"


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Handler(), enable_SMTPUTF8=False), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    # Whoever started it ends it by closing its input.
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


asyncio.run(main())
