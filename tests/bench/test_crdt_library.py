import pytest

from bench import crdt_library, paired
from bench.rivals import WrongAnswer


@pytest.mark.parametrize("question", [
    *crdt_library.questions(crdt_library.Data.of(500), pieces=crdt_library.Data.of(300)),
    *crdt_library.large_questions(crdt_library.Data.of(400))], ids=lambda question: question.name)
def test_each_contender_does_the_work_it_is_charged_for(question):
    taken = {name: [run()] for name, run in question.contenders.items()}
    assert all(cost.units > 0 and cost.cpu_s > 0 for costs in taken.values() for cost in costs)
    assert [row[1] for row in paired.rows(question, taken)] == list(question.contenders)
    assert next(iter(question.contenders)) == "hotpath"
    assert set(question.goals) <= set(question.contenders)


def test_all_runs_have_the_same_data():
    assert crdt_library.Data.of(100) == crdt_library.Data.of(100)
    assert sorted(crdt_library.Data.of(100).shuffled()) == sorted(crdt_library.Data.of(100).keys)


def test_another_answer_is_not_timed():
    with pytest.raises(WrongAnswer, match="lookup"):
        crdt_library.agree("lookup", [1], [2])
