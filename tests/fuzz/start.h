/* What every target needs: a Python in which its module and the kernels have met, and a word of farewell. */
#pragma once
#include <Python.h>
#include <stdio.h>
#include <stdlib.h>

/* FUZZ_TARGET is the module's name; the run script gives it. */
#define GLUED(a, b) a##b
#define INIT_OF(name) GLUED(PyInit_, name)
#define QUOTED(name) #name
#define NAME_OF(name) QUOTED(name)
PyMODINIT_FUNC INIT_OF(FUZZ_TARGET)(void);

/* Starts Python once, so that the extension modules can find each other. After that all stays in C. */
int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc, (void)argv;
    if (PyImport_AppendInittab(NAME_OF(FUZZ_TARGET), INIT_OF(FUZZ_TARGET)) < 0)
        return 1;
    Py_InitializeEx(0);
    if (!PyImport_ImportModule(NAME_OF(FUZZ_TARGET))) {
        PyErr_Print();
        exit(1);
    }
    return 0;
}

static inline void require(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "broken invariant: %s\n", what);
        abort();
    }
}

/* How often each kind of input was tried; told at the end, beside libFuzzer's own figures. */
enum { KINDS = 4 };
static unsigned long counted[KINDS];
static const char *counted_names[KINDS];

static void tell_counts(void) {
    for (int kind = 0; kind < KINDS; kind++)
        if (counted[kind])
            fprintf(stderr, "executions of %s: %lu\n", counted_names[kind], counted[kind]);
}

static inline void count_kind(const char *name, int kind) {
    if (!counted[0] && !counted[1] && !counted[2] && !counted[3])
        atexit(tell_counts);
    counted_names[kind] = name;
    counted[kind]++;
}
