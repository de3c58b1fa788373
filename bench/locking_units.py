"""What does `run` cost over the same unit of work in plain SQLAlchemy, when nobody is in the way?"""
from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from hotpath import locking

from .harness import Spread, interleave
from .paired import Cost, at_most, timed
from .results import duration
from .rivals import WrongAnswer

COLUMNS = ("database", "contender", "CPU each", "CPU, hotpath takes (min-max)", "time each",
           "time, hotpath takes (min-max)", "goal")
OURS = "hotpath"
MOST = 1.05


class Base(DeclarativeBase):
    """Of the one model."""


class Tally(locking.Versioned, Base):
    """What is raised."""

    __tablename__ = "tallies"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int] = mapped_column(default=0)


def raise_it(tx: locking.Tx) -> None:
    """The unit of work."""
    tx.load(Tally, 1).n += 1


def run(backend: str, url: str, *, units: int, rounds: int) -> list[tuple[str, ...]]:
    """The table's rows of one database; one thread."""
    engine = locking.engine(url)
    try:
        loops = prepared(engine)
        for work in loops.values():
            work(100)
        taken = interleave({name: lambda work=work: timed(lambda: work(units), units) for name, work in loops.items()},
                           rounds=rounds, title=f"{backend}: one at a time")
        with Session(engine) as session:
            row = session.get_one(Tally, 1)
            if (row.n, row.version) != (expected := len(loops) * (100 + rounds * units), expected + 1):
                raise WrongAnswer(f"{backend}: {row.n} increments, version {row.version}, after {expected}")
    finally:
        engine.dispose()
    return rows(backend, taken)


def prepared(engine: Engine) -> dict[str, Callable[[int], None]]:
    """The contenders, and the row that they raise."""
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add(Tally(id=1))
        session.commit()
    return contenders(engine)


def contenders(engine: Engine) -> dict[str, Callable[[int], None]]:
    """Each raises the row so many times."""
    def ours(n: int) -> None:
        for _ in range(n):
            locking.run(engine, raise_it)

    def plain(n: int, **options: bool) -> None:
        for _ in range(n):
            with Session(engine, **options) as session:
                row = session.get(Tally, 1)
                assert row is not None
                row.n += 1
                session.commit()

    return {OURS: ours, "SQLAlchemy": plain, "with expire_on_commit=False": lambda n: plain(n, expire_on_commit=False)}


def rows(backend: str, taken: dict[str, list[Cost]]) -> list[tuple[str, ...]]:
    """The table; the goal is over plain SQLAlchemy as everybody writes it, in CPU and in time."""
    found = []
    ours = taken[OURS]
    for name, costs in taken.items():
        cpu = Spread.of([a.each_s / b.each_s for a, b in zip(ours, costs, strict=True)])
        wall = Spread.of([a.wall_s / b.wall_s for a, b in zip(ours, costs, strict=True)])
        found.append((backend, name, duration(Spread.of([cost.each_s for cost in costs]).middle),
                      "1" if name == OURS else str(cpu),
                      duration(Spread.of([cost.wall_s / cost.units for cost in costs]).middle),
                      "1" if name == OURS else str(wall),
                      f"CPU {at_most(cpu.middle, MOST)}; time {at_most(wall.middle, MOST)}" if name == "SQLAlchemy"
                      else ""))
    return found
