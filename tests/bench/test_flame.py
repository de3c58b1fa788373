import xml.etree.ElementTree as ElementTree

import pytest

from bench import flame

SCRIPT = """python 1 cpu-clock:
\tffffffff82026647 tcp_sendmsg ([kernel.kallsyms])
\t          10ab59 __send (/usr/lib/libc.so.6)
\t            b038 __pyx_f_7hotpath_4core_3net_6stream_stream_send (/t/stream.cpython-311-x86_64-linux-gnu.so)
\t            36df __pyx_f_7hotpath_4core_3net_5epoll_loop_turn (/t/epoll.cpython-311-x86_64-linux-gnu.so)
\t            1080 _start (/usr/bin/python3.11)

python 1 cpu-clock:
\t            1234 operator new(unsigned long) (/usr/lib/libstdc++.so.6)
\t            36df __pyx_f_7hotpath_4core_3net_5epoll_loop_turn (/t/epoll.cpython-311-x86_64-linux-gnu.so)
\t            1080 _start (/usr/bin/python3.11)

"""


@pytest.mark.parametrize(("symbol", "name"), [
    ("tcp_schedule_loss_probe.part.0", "tcp_schedule_loss_probe"),
    ("__libc_start_main@@GLIBC_2.34", "__libc_start_main"),
    ("__pyx_f_7hotpath_4core_3net_6stream_stream_send", "stream.stream_send"),
    ("__pyx_f_7hotpath_5proxy_5relay_client_proceed.part.0", "relay.client_proceed"),
    ("__pyx_pw_7hotpath_4core_3net_4loop_4Loop_5run", "Loop.run"),
    ("__pyx_pw_7hotpath_5proxy_6worker_6Worker_17run_it", "Worker.run_it"),
    ("_PyEval_EvalFrameDefault", "_PyEval_EvalFrameDefault"),
])
def test_functions_are_named_as_in_their_source(symbol, name):
    assert flame.readable(symbol) == name


def test_calls_are_piled_on_what_is_common_to_all():
    ground = flame.piled(flame.chains(SCRIPT))
    assert (ground.name, ground.samples, ground.depth()) == ("epoll.loop_turn", 2, 4)
    assert {key: box.samples for key, box in ground.above.items()} == {
        ("stream.stream_send", "stream.cpython-311-x86_64-linux-gnu.so"): 1,
        ("operator new(unsigned long)", "libstdc++.so.6"): 1}


def test_the_drawing_is_xml_with_a_box_for_each_function():
    root = ElementTree.fromstring(flame.drawn(flame.piled(flame.chains(SCRIPT.replace("new", "<"))), "a & b", 8.0))
    titles = [title.text for title in root.iter("{http://www.w3.org/2000/svg}title")]
    assert len(titles) == 5
    assert "tcp_sendmsg in kernel: 50.0%, 4.00 µs per request" in titles


def test_narrow_boxes_are_left_out():
    ground = flame.Box("all", "", 10_000)
    ground.above["thin", "libc.so.6"] = flame.Box("thin", "libc.so.6", 1)
    assert "thin" not in flame.drawn(ground, "", 1.0)


def test_no_samples_are_no_boxes():
    assert flame.piled([]).samples == 0


@pytest.mark.parametrize(("place", "kind"), [
    ("kernel", "kernel"), ("libssl.so.3", "TLS"), ("_ssl.cpython-311-x86_64-linux-gnu.so", "TLS"),
    ("libc.so.6", "libraries"), ("nginx", "server"), ("epoll.cpython-311-x86_64-linux-gnu.so", "server")])
def test_places_have_their_colours(place, kind):
    assert flame.kind(place) == kind
