"""A merchant's FTPS server in its own process: `python -m retour.cli.demo.merchant FD < settings.json`

Serves one folder to one user on an inherited listening socket, until its standard input closes.
"""

import json
import socket
import sys
import threading


def main() -> None:
    from pyftpdlib.authorizers import DummyAuthorizer
    from pyftpdlib.handlers import TLS_FTPHandler
    from pyftpdlib.servers import ThreadedFTPServer

    settings = json.loads(sys.stdin.readline())
    users = DummyAuthorizer()
    users.add_user(settings["user"], settings["password"], settings["folder"], perm="elradfmwMT")
    handler = type(
        "Merchant",
        (TLS_FTPHandler,),
        {
            "authorizer": users,
            "certfile": settings["certificate"],
            "keyfile": settings["certificate"],
            "tls_control_required": True,
            "tls_data_required": True,
            "banner": "A merchant's server",
        },
    )
    server = ThreadedFTPServer(socket.socket(fileno=int(sys.argv[1])), handler)
    threading.Thread(target=lambda: (sys.stdin.read(), server.close_all()), daemon=True).start()
    server.serve_forever(handle_exit=False)


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.WARNING)
    main()
