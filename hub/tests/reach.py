"""Echo servers and attempts to reach them, over TCP and UDP.

Runs alone on any Python: on the host, in a namespace, in a container (`python3 -c <this file> serve|attempt <json>`).
"""

import json
import socket
import sys
import threading

TIMEOUT_SECONDS = 1.0
WORD = b"anybody there?\n"


def family_of(ip):
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def address_of(ip, port):
    """As the socket takes it: a link address carries its interface."""
    return socket.getaddrinfo(ip, port, family_of(ip), socket.SOCK_STREAM)[0][4]


def serve_udp(listener):
    while True:
        word, sender = listener.recvfrom(100)
        listener.sendto(word, sender)


def serve_tcp(listener):
    while True:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(TIMEOUT_SECONDS)
            try:
                connection.sendall(connection.recv(100))
            except OSError:
                continue


def serve(addresses):
    """Answer on every address, over both protocols, for ever."""
    for ip, port in addresses:
        for kind, answer in ((socket.SOCK_STREAM, serve_tcp), (socket.SOCK_DGRAM, serve_udp)):
            listener = socket.socket(family_of(ip), kind)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family_of(ip) == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind(address_of(ip, port))
            if kind == socket.SOCK_STREAM:
                listener.listen()
            threading.Thread(target=answer, args=(listener,)).start()
    print("serving", flush=True)


def answers(kind, ip, port):
    """Send a word and see whether it comes back; UDP gets three chances, because it may lose one."""
    try:
        with socket.socket(family_of(ip), kind) as caller:
            caller.settimeout(TIMEOUT_SECONDS)
            caller.connect(address_of(ip, port))
            for _ in range(1 if kind == socket.SOCK_STREAM else 3):
                caller.send(WORD)
                try:
                    return caller.recv(100) == WORD
                except TimeoutError:
                    continue
    except OSError:
        pass
    return False


def attempt(addresses):
    """Say of each address and protocol whether somebody answered."""
    found = {}

    def ask(name, kind, ip, port):
        found[f"{name}/{ip}/{port}"] = answers(kind, ip, port)

    kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
    asking = [
        threading.Thread(target=ask, args=(name, kind, ip, port))
        for ip, port in addresses
        for name, kind in kinds.items()
    ]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    {"serve": serve, "attempt": attempt}[sys.argv[1]](json.loads(sys.argv[2]))
