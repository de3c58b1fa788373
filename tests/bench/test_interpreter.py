from bench import flame, interpreter

RAW = """process 7:"serve";run (hotpath/core/serve/service.py:10);answer (hotpath/chat/api/posts.py:5) 3
process 7:"serve";run (hotpath/core/serve/service.py:10);answer (hotpath/chat/api/posts.py:5);dumps (json/__init__.py) 1
process 8:"sh";wait (<frozen importlib._bootstrap>:1) 4

no stack at all
"""
RUN, ANSWER = ("run", "hotpath/core/serve/service.py"), ("answer", "hotpath/chat/api/posts.py")


def test_stacks_are_read_without_the_processes():
    found = list(interpreter.stacks(RAW))
    assert found[0] == ([RUN, ANSWER], 3)
    assert [times for _, times in found] == [3, 1, 4]


def test_a_function_has_its_own_time_and_that_of_what_it_calls():
    found = list(interpreter.stacks(RAW))[:2]
    assert interpreter.rows(found, top=1) == [("`answer`", "hotpath/chat/api/posts.py", "75.0", "100.0")]


def test_a_function_that_calls_itself_is_counted_once():
    assert interpreter.rows([([RUN, RUN, RUN], 2)], top=5) == [("`run`", RUN[1], "100.0", "100.0")]


def test_they_are_piled_as_the_compiled_ones_are():
    ground = flame.piled(interpreter.chains(list(interpreter.stacks(RAW))[:2]))
    assert (ground.name, ground.samples) == ("answer", 4)
    assert flame.kind(ground.place) == "server"
    assert flame.kind("json/__init__.py") == "libraries"
