"""A server that answers every DynamoDB call over TLS after 8 ms, always with success: `python -m bench.stub FOLDER`.

It is no DynamoDB; it takes the network's and the server's time out of the comparison, the same for everybody.
"""

import asyncio
import json
import ssl
import sys
import zlib
from pathlib import Path

import trustme

LATENCY = 0.008
ANSWERS = {
    b"BatchWriteItem": b'{"UnprocessedItems":{}}',
    b"BatchExecuteStatement": json.dumps({"Responses": [{"TableName": "ledger"}] * 25}).encode(),
}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            fields = {name.lower(): value for name, value in fields.items()}
            body = await reader.readexactly(int(fields.get(b"content-length", b"0")))
            answer = ANSWERS.get(fields[b"x-amz-target"].partition(b".")[2], b"{}")
            if b"BatchExecuteStatement" in fields[b"x-amz-target"]:
                count = body.count(b'"Statement":')
                answer = json.dumps({"Responses": [{"TableName": "ledger"}] * count}).encode()
            await asyncio.sleep(LATENCY)
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n"
                b"x-amz-crc32: %d\r\n\r\n%s" % (len(answer), zlib.crc32(answer), answer)
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(folder: Path) -> None:
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=200)
    (folder / "port.new").write_text(str(server.sockets[0].getsockname()[1]))
    (folder / "port.new").rename(folder / "port")
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
