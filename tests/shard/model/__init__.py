"""A state-space model of the single-key protocol and of moves, searched whole for small numbers of everything.

One key is enough: linearizability composes over keys, and no operation of the protocol touches two. Every step is one
atomic action of one database, or one transaction's end; every interleaving of them is visited, so a router that is
slow, asleep or dead is one whose next step comes late or never.

    register    what one row promises, and whether a run kept it
    world       what there is at one instant
    clients     what a router does for a read, a page of a list, a write
    reshard     what moves a key: transitions, copies, deletes, and those who do it late
    explore     visits every world that can be reached
    weakened    the protocol with one precaution left out: each must be caught
"""
