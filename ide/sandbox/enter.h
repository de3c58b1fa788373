/* What a forked child does before it becomes a program: limits, namespaces, terminal, no rights, exec.
 *
 * Everything here runs between fork and exec of a process with threads, so it allocates nothing and calls the kernel
 * only. The child tells what came of it on `report`: a told_t, with descriptors beside it; then exec closes it.
 */
#ifndef HOTPATH_IDE_ENTER_H
#define HOTPATH_IDE_ENTER_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

enum {                      /* what the child was about when it failed; STAGES in enter.pyx has the words */
    AT_FORK, AT_CGROUP, AT_MOUNT, AT_USER, AT_NAMESPACE, AT_TERMINAL, AT_LIMIT, AT_RIGHTS, AT_FOLDER, AT_EXEC,
    AT_SOCKET,
    AT_DONE                 /* nothing failed: `pid` runs, and the terminal comes with it */
};

enum { LAUNCH, SPAWN, SOCKETS, ARRANGE };

enum { MAX_LIMITS = 12, MAX_CGROUPS = 4, MAX_FDS = 12, MAX_SOCKETS = 16, HIGH = 32 };

typedef struct { int32_t stage, error, pid; } told_t;

typedef struct {
    int what;
    uint64_t soft, hard;
} bound_t;

typedef struct {
    int mode;
    int report;                         /* our end of a socket pair */
    int process;                        /* /proc/PID of a process in the sandbox; -1: enter nothing */
    int n_cgroups, cgroups[MAX_CGROUPS];        /* files that take a pid */
    int has_user;                       /* we are root and become this user first */
    uint32_t uid, gid;
    int folder;                         /* SPAWN: the working directory; LAUNCH: what to mount on `stand_in`; -1: none */
    const char *stand_in;
    const char *cwd;                    /* after entering */
    int n_fds, fds[MAX_FDS];            /* LAUNCH: become 0, 1, 2 and so on */
    int die_with_parent;
    int oom_score;
    int nice;
    const cpu_set_t *cpus;              /* NULL: all */
    unsigned short cols, rows;
    int n_limits;
    bound_t limits[MAX_LIMITS];
    int family, n_sockets;              /* SOCKETS */
    const char *const *programs;        /* paths to try, NULL at the end */
    char *const *argv, *const *env;
    const char *const *writes;          /* ARRANGE: path, value, path, value, NULL */
    const char *pts_options;            /* ARRANGE: remount /dev/pts with these */
} plan_t;

/* Tell, with up to MAX_SOCKETS descriptors. */
static void tell(const plan_t *plan, int stage, int error, int pid, const int *fds, int n_fds)
{
    told_t told = {stage, error, pid};
    struct iovec part = {&told, sizeof told};
    char room[CMSG_SPACE(sizeof(int) * MAX_SOCKETS)] __attribute__((aligned(8)));
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    memset(room, 0, sizeof room);
    if (n_fds > 0) {
        message.msg_control = room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds);
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds);
        memcpy(CMSG_DATA(head), fds, sizeof(int) * (size_t)n_fds);
    }
    while (sendmsg(plan->report, &message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

static _Noreturn void fail(const plan_t *plan, int stage)
{
    tell(plan, stage, errno, 0, NULL, 0);
    _exit(127);
}

static int write_word(const char *path, const char *word)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, word, strlen(word));
    int error = errno;
    close(fd);
    errno = error;
    return n < 0 ? -1 : 0;
}

/* fork without what libraries hung on it: the child of a process with threads may call the kernel only. */
static pid_t plain_fork(unsigned long flags)
{
#if defined(__s390__) || defined(__s390x__)
    return (pid_t)syscall(SYS_clone, 0UL, flags | SIGCHLD, 0UL, 0UL, 0UL);
#else
    return (pid_t)syscall(SYS_clone, flags | SIGCHLD, 0UL, 0UL, 0UL, 0UL);
#endif
}

static void number(char *text, unsigned value)
{
    char digits[12];
    int n = 0;
    do {
        digits[n++] = (char)('0' + value % 10);
    } while (value /= 10);
    while (n > 0)
        *text++ = digits[--n];
    *text = 0;
}

static void handlers_off(void)
{
    struct sigaction standard = {.sa_handler = SIG_DFL};
    for (int i = 1; i < 65; i++)
        sigaction(i, &standard, NULL);
}

static void join_cgroups(const plan_t *plan)
{
    for (int i = 0; i < plan->n_cgroups; i++)
        if (write(plan->cgroups[i], "0", 1) != 1)
            fail(plan, AT_CGROUP);
}

/* What no program of ours can gain back, whatever it executes. */
static void drop_bounding_set(const plan_t *plan)
{
    for (int i = 0; i < 64 && prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EPERM)   /* without rights there are none to pass on */
            fail(plan, AT_RIGHTS);
}

static void become_user(const plan_t *plan)
{
    if (!plan->has_user)
        return;
    drop_bounding_set(plan);
    /* The library's own would tell the server's other threads, which are not here. */
    if (syscall(SYS_setgroups, 0L, NULL) < 0 || syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) < 0
            || syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) < 0)
        fail(plan, AT_USER);
}

/* A place that the user can reach, for a folder that he cannot: seen by us and what we start alone. The working
 * directory moves into a new mount namespace with us; what a descriptor means stays in the old one. */
static void mount_stand_in(const plan_t *plan)
{
    if (fchdir(plan->folder) < 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0
            || mount(".", plan->stand_in, NULL, MS_BIND, NULL) < 0 || chdir("/") < 0)
        fail(plan, AT_MOUNT);
}

static void be_modest(const plan_t *plan)
{
    char text[16];
    number(text, (unsigned)plan->oom_score);
    write_word("/proc/self/oom_score_adj", text);       /* as far as it goes, like the next two */
    if (plan->nice > 0)
        setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + plan->nice);
    if (plan->cpus != NULL)
        sched_setaffinity(0, sizeof(cpu_set_t), plan->cpus);
}

static int same(int a, int b)
{
    struct stat of_a, of_b;
    return fstat(a, &of_a) == 0 && fstat(b, &of_b) == 0 && of_a.st_ino == of_b.st_ino && of_a.st_dev == of_b.st_dev;
}

static int join(int fd, int kind)
{
    char self[24] = "/proc/self/ns/";
    const char *name = kind == CLONE_NEWNS ? "mnt" : kind == CLONE_NEWNET ? "net" : kind == CLONE_NEWPID ? "pid"
        : kind == CLONE_NEWIPC ? "ipc" : kind == CLONE_NEWUTS ? "uts" : kind == CLONE_NEWUSER ? "user" : "cgroup";
    strcpy(self + strlen(self), name);
    int own = open(self, O_RDONLY | O_CLOEXEC);
    int is_ours = own >= 0 && same(own, fd);    /* the network may be the machine's; into one's own user's: EINVAL */
    if (own >= 0)
        close(own);
    return is_ours ? 0 : setns(fd, kind);
}

/* The payload's user namespace does not own the others (bwrap --disable-userns): first into the one that does, where
 * we have all rights because its maker was this user, last into the payload's, where we have them because it is a child. */
static void enter(const plan_t *plan)
{
    int mnt = openat(plan->process, "ns/mnt", O_RDONLY | O_CLOEXEC);
    int net = openat(plan->process, "ns/net", O_RDONLY | O_CLOEXEC);
    int pid = openat(plan->process, "ns/pid", O_RDONLY | O_CLOEXEC);
    int ipc = openat(plan->process, "ns/ipc", O_RDONLY | O_CLOEXEC);
    int uts = openat(plan->process, "ns/uts", O_RDONLY | O_CLOEXEC);
    int cgroup = openat(plan->process, "ns/cgroup", O_RDONLY | O_CLOEXEC);
    int user = openat(plan->process, "ns/user", O_RDONLY | O_CLOEXEC);
    if (mnt < 0 || net < 0 || pid < 0 || ipc < 0 || uts < 0 || user < 0)
        fail(plan, AT_NAMESPACE);
    int owner = ioctl(mnt, NS_GET_USERNS);
    if (owner < 0)
        fail(plan, AT_NAMESPACE);
    /* Until exec we are a copy of the server: what runs in there must not look into it. */
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setns(owner, CLONE_NEWUSER) < 0)
        fail(plan, AT_NAMESPACE);
    if (plan->mode == ARRANGE)
        for (const char *const *one = plan->writes; one[0] != NULL; one += 2)
            write_word(one[0], one[1]);         /* some kernels lack them, some containers hide them */
    if (join(net, CLONE_NEWNET) < 0)
        fail(plan, AT_NAMESPACE);
    if (plan->mode == SOCKETS)
        return;
    if (join(ipc, CLONE_NEWIPC) < 0 || join(uts, CLONE_NEWUTS) < 0 || join(pid, CLONE_NEWPID) < 0
            || (cgroup >= 0 && join(cgroup, CLONE_NEWCGROUP) < 0) || setns(mnt, CLONE_NEWNS) < 0)
        fail(plan, AT_NAMESPACE);
    if (plan->mode == ARRANGE)
        return;
    if (!same(owner, user) && setns(user, CLONE_NEWUSER) < 0)
        fail(plan, AT_NAMESPACE);
}

static void set_limits(const plan_t *plan)
{
    for (int i = 0; i < plan->n_limits; i++) {
        struct rlimit wanted = {plan->limits[i].soft, plan->limits[i].hard}, now;
        if (getrlimit(plan->limits[i].what, &now) < 0)
            fail(plan, AT_LIMIT);
        /* What the server itself may not exceed stays as it is: only root may raise. */
        if (now.rlim_max < wanted.rlim_max)
            wanted.rlim_max = now.rlim_max;
        if (wanted.rlim_max < wanted.rlim_cur)
            wanted.rlim_cur = wanted.rlim_max;
        if (setrlimit(plan->limits[i].what, &wanted) < 0)
            fail(plan, AT_LIMIT);
    }
}

static void drop_rights(const plan_t *plan)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2];
    memset(none, 0, sizeof none);
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    drop_bounding_set(plan);
    if (syscall(SYS_capset, &head, none) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        fail(plan, AT_RIGHTS);
    syscall(SYS_keyctl, 1L /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);    /* ours may hold keys; ENOSYS is fine */
}

static void close_from(int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
        return;
    struct rlimit files;
    int last = getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < 1 << 20 ? (int)files.rlim_cur : 1 << 20;
    for (int fd = first; fd < last; fd++)
        close(fd);
}

static _Noreturn void run_program(const plan_t *plan, int first_free)
{
    plan_t own = *plan;
    sigset_t all;
    if (plan->report != first_free && dup2(plan->report, first_free) < 0)
        fail(plan, AT_EXEC);
    own.report = first_free;
    fcntl(own.report, F_SETFD, FD_CLOEXEC);
    close_from(first_free + 1);
    sigemptyset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    for (const char *const *path = plan->programs; *path != NULL; path++) {
        execve(*path, plan->argv, plan->env);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    fail(&own, AT_EXEC);
}

/* The last steps, in the process that becomes the program: `master` was opened in the sandbox. */
static _Noreturn void be_program(const plan_t *plan, int master)
{
    if (setsid() < 0)
        fail(plan, AT_TERMINAL);
    int terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
    if (terminal < 0 || ioctl(terminal, TIOCSCTTY, 0) < 0)
        fail(plan, AT_TERMINAL);
    if (plan->report <= 2) {                    /* or the terminal would take its place */
        int higher = fcntl(plan->report, F_DUPFD_CLOEXEC, 3);
        if (higher < 0)
            fail(plan, AT_TERMINAL);
        ((plan_t *)plan)->report = higher;
    }
    if (dup2(terminal, 0) < 0 || dup2(terminal, 1) < 0 || dup2(terminal, 2) < 0)
        fail(plan, AT_TERMINAL);
    if (plan->process < 0 && plan->folder >= 0 ? fchdir(plan->folder) < 0 : chdir(plan->cwd) < 0)
        fail(plan, AT_FOLDER);
    set_limits(plan);
    drop_rights(plan);
    if (plan->die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);      /* behind the change of user, which clears it */
    run_program(plan, 3);
}

static int open_terminal(const plan_t *plan)
{
    struct winsize size = {.ws_row = plan->rows, .ws_col = plan->cols};
    int zero = 0;
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0 || ioctl(master, TIOCSPTLCK, &zero) < 0 || ioctl(master, TIOCSWINSZ, &size) < 0)
        fail(plan, AT_TERMINAL);
    return master;
}

static _Noreturn void in_child(plan_t *plan)
{
    handlers_off();
    umask(022);
    join_cgroups(plan);
    be_modest(plan);
    if (plan->mode == LAUNCH) {
        if (plan->stand_in != NULL)
            mount_stand_in(plan);
        become_user(plan);
        set_limits(plan);
        if (plan->die_with_parent)
            prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        /* First out of the way, then in place: one may stand where another belongs. */
        int high[MAX_FDS];
        int report = fcntl(plan->report, F_DUPFD_CLOEXEC, HIGH);
        if (report < 0)
            fail(plan, AT_EXEC);
        plan->report = report;
        for (int i = 0; i < plan->n_fds; i++)
            if ((high[i] = fcntl(plan->fds[i], F_DUPFD_CLOEXEC, HIGH)) < 0)
                fail(plan, AT_EXEC);
        for (int i = 0; i < plan->n_fds; i++)
            if (dup2(high[i], i) < 0)
                fail(plan, AT_EXEC);
        run_program(plan, plan->n_fds);
    }
    become_user(plan);
    if (plan->process >= 0)
        enter(plan);
    if (plan->mode == ARRANGE) {
        if (plan->pts_options != NULL
                && mount(NULL, "/dev/pts", NULL, MS_REMOUNT | MS_NOSUID | MS_NOEXEC, plan->pts_options) < 0)
            fail(plan, AT_MOUNT);
        tell(plan, AT_DONE, 0, 0, NULL, 0);
        _exit(0);
    }
    if (plan->mode == SOCKETS) {
        int fds[MAX_SOCKETS];
        for (int i = 0; i < plan->n_sockets; i++)
            if ((fds[i] = socket(plan->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) < 0)
                fail(plan, AT_SOCKET);
        tell(plan, AT_DONE, 0, 0, fds, plan->n_sockets);
        _exit(0);
    }
    int master = open_terminal(plan);
    if (plan->process < 0) {
        tell(plan, AT_DONE, 0, (int)getpid(), &master, 1);
        be_program(plan, master);
    }
    /* Only a child of ours is in the process namespace; it is the server's child, which alone hears how it ends. */
    pid_t pid = plain_fork(CLONE_PARENT);
    if (pid < 0)
        fail(plan, AT_FORK);
    if (pid > 0) {
        tell(plan, AT_DONE, 0, (int)pid, &master, 1);
        _exit(0);
    }
    be_program(plan, master);
}

/* The child's pid, or -errno. All signals are held meanwhile: the server's handlers must not run in its child. */
static pid_t start_child(plan_t *plan)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = plain_fork(0);
    if (pid == 0)
        in_child(plan);
    int error = errno;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return pid < 0 ? -error : pid;
}

#endif
