import os
import socket
import threading
from collections.abc import Callable

from bench import reload, rivals
from tests.waiting import wait_for

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + rivals.BODIES["64"]


def clients_against(answer: Callable[[socket.socket, int], bool], *, at_least: int = 1) -> reload.Clients:
    """Run one client for a moment against a server that calls `answer(connection, number)` for each request.

    False from `answer` closes the connection. Again where a busy machine had time for fewer requests than `at_least`.
    """
    def enough() -> reload.Clients | None:
        clients = one_against(answer)
        return clients if clients.requests >= at_least else None

    return wait_for(enough, f"{at_least} requests")


def one_against(answer: Callable[[socket.socket, int], bool]) -> reload.Clients:
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        number = 0
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while connection.recv(4096):
                    number += 1
                    if not answer(connection, number):
                        break

    threading.Thread(target=serve, daemon=True).start()
    clients = reload.Clients(listener.getsockname()[1], 1)
    clients.run(0.2, [])
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    return clients


def send(connection: socket.socket, answer: bytes) -> bool:
    connection.sendall(answer)
    return b"close" not in answer


def test_whole_answers_are_no_failures():
    clients = clients_against(lambda connection, _: send(connection, ANSWER), at_least=2)
    assert clients.failed == 0


def test_an_announced_close_is_no_failure():
    closing = ANSWER.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n")
    clients = clients_against(lambda connection, _: send(connection, closing), at_least=2)
    assert clients.failed == 0


def test_a_cut_answer_is_one_failure():
    def cut_the_second(connection: socket.socket, number: int) -> bool:
        connection.sendall(ANSWER[:-1] if number == 2 else ANSWER)
        return number != 2

    clients = clients_against(cut_the_second, at_least=3)
    assert clients.failed == 1


def test_a_wrong_answer_is_a_failure():
    wrong = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
    clients = clients_against(lambda connection, number: send(connection, wrong if number == 1 else ANSWER))
    assert clients.failed == 1


def test_a_refused_connection_is_a_failure_and_the_run_ends(port):
    clients = reload.Clients(port, 1)
    clients.run(0.05, [])
    assert clients.failed == clients.requests >= 1


def test_connections_of_a_process_are_those_it_holds_on_our_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        accepted = [listener.accept()[0] for _ in clients]
        assert reload.connections_of(os.getpid(), port) == 3
        for connection in [*clients, *accepted]:
            connection.close()
        assert reload.connections_of(os.getpid(), port) == 0
