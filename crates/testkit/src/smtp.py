# A mail server for tests: what it does with a mail is said by the recipient's name.
import asyncio
import collections
import json
import os
import sys

from aiosmtpd.smtp import SMTP

FOLDER = sys.argv[1]


class Handler:
    def __init__(self):
        self.tries = collections.Counter()
        self.taken = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        name = address.split("@")[0]
        self.tries[address] += 1
        if name == "never":
            return "550 5.1.1 there is no never@example.org"
        # later-2@ is refused twice.
        if name.startswith("later-") and self.tries[address] <= int(name[6:]):
            return "451 4.3.0 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if any(address.startswith("hang@") for address in envelope.rcpt_tos):
            await asyncio.Event().wait()
        self.taken += 1
        mail = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "text": envelope.content.decode("utf-8", "surrogateescape"),
        }
        path = os.path.join(FOLDER, "%06d.json" % self.taken)
        with open(path + ".part", "w", encoding="ascii") as file:
            json.dump(mail, file)
        os.rename(path + ".part", path)
        return "250 taken"


async def main():
    handler = Handler()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, loop=loop), "127.0.0.1", 0)
    print("takes mails on port %d" % server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
