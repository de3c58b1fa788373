from bench.profile import Hot, parse, rows

REPORT = """# To display the perf.data header info, please use --header/--header-only options.
#
# Overhead;Symbol                      ;Shared Object       ;IPC   [IPC Coverage]
 60.00%  ;[k] tcp_ack                 ;[kernel.kallsyms]   ;-      -
 25.00%  ;[.] ngx_http_parse_request_line;/usr/sbin/nginx   ;-      -
 15.00%  ;[.] operator new(unsigned long);libc.so.6
"""


def test_functions_are_read_with_their_place():
    assert parse(REPORT) == [Hot("tcp_ack", "kernel", 60.0), Hot("ngx_http_parse_request_line", "nginx", 25.0),
                             Hot("operator new(unsigned long)", "libc.so.6", 15.0)]


def test_shares_become_time_per_unit_and_places_are_summed():
    assert rows(10.0, parse(REPORT), top=1) == [
        ("`tcp_ack`", "kernel", "60.0", "6.00"),
        ("all of", "kernel", "60.0", "6.00"),
        ("all of", "nginx", "25.0", "2.50"),
        ("all of", "libc.so.6", "15.0", "1.50")]
