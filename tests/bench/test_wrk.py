import pytest

from bench import wrk

REPORT = """Running 4s test @ http://127.0.0.1:8080/api/64
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency   782.17us  250.46us   8.30ms   93.32%
    Req/Sec    82.03k     4.15k   87.65k    80.00%
  Latency Distribution
     50%  737.00us
     75%  812.00us
     90%    0.90ms
     99%    1.46ms
  326514 requests in 4.00s, 87.81MB read
  Socket errors: connect 1, read 2, write 3, timeout 4
  Non-2xx or 3xx responses: 5
Requests/sec:  81624.66
Transfer/sec:     21.95MB
"""


def test_a_report_is_read_in_milliseconds_and_every_failure_counts():
    assert wrk.parse(REPORT, 1.5) == wrk.Outcome(
        requests=326514, read_bytes=87.81 * 2**20, errors=15, seconds=4.0, p50_ms=0.737, p99_ms=1.46, load_cpu_s=1.5)


def test_a_report_without_failures_has_none():
    clean = "".join(line for line in REPORT.splitlines(keepends=True) if "errors" not in line and "Non-2xx" not in line)
    assert wrk.parse(clean).errors == 0


@pytest.mark.parametrize(("text", "expected"), [("870us", 0.87), ("1.46ms", 1.46), ("1.02s", 1020), ("1.5m", 90_000)])
def test_durations(text, expected):
    assert wrk.milliseconds(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:1 Connection refused"])
def test_what_is_no_report_is_refused(text):
    with pytest.raises(wrk.LoadError):
        wrk.parse(text)


def wrk_that_tells_what_it_gets(folder):
    program = folder / "wrk"
    program.write_text(f"#!/bin/sh\necho \"$LD_PRELOAD $*\" > {folder}/told\ncat <<'END'\n{REPORT}END\n")
    program.chmod(0o755)


@pytest.mark.parametrize(("scheme", "closes", "header", "forgets"), [
    ("http", False, False, False), ("http", True, True, False), ("https", False, False, False),
    ("https", True, True, True)])
def test_a_connection_for_each_request_closes_and_takes_up_no_session(
        scheme, closes, header, forgets, tmp_path, monkeypatch):
    wrk_that_tells_what_it_gets(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    wrk.run(f"{scheme}://127.0.0.1:1/", wrk.Load(closes=closes), scratch=tmp_path)
    told = (tmp_path / "told").read_text()
    assert ("Connection: close" in told) is header
    assert ("wrk_forget.so" in told) is forgets
